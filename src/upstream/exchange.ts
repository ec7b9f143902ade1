import type { Dispatcher } from 'undici'

type Headers = Parameters<NonNullable<Dispatcher.DispatchHandler['onResponseStart']>>[2]

/** So many bytes of a reply wait to be read before its sender has to. */
const mostWaiting = 64 * 1024
/** What may still come of a reply that is read no more, for its connection to be used again: bytes, and milliseconds. */
const rest = { bytes: 64 * 1024, ms: 1_000 } as const

/** Who hears how it goes. */
interface Told {
  /** The request has left whole: until then it waits for a connection, and nobody knows of it. */
  readonly sent?: () => void
  /** A piece of the reply was taken. */
  readonly read?: () => void
}

/**
 * One request and its reply, whose body is read piece by piece, by one reader. It is what undici dispatches to: its streams
 * and signals would cost more than all else that is done for a short answer.
 */
export class Exchange implements Dispatcher.DispatchHandler, AsyncIterable<Uint8Array> {
  status = 0
  headers: Headers = {}
  readonly #pieces: Uint8Array[] = []
  readonly #told: Told
  #controller: Dispatcher.DispatchController | undefined
  #wake: (() => void) | undefined
  #waiting = 0
  #ended = false
  #failed: { readonly error: unknown } | undefined
  /** Set when nothing is read any more: how many bytes may come yet. */
  #passedOver: { bytes: number; readonly timer: NodeJS.Timeout } | undefined

  constructor(told: Told = {}) {
    this.#told = told
  }

  /** Sends a request, and resolves when the status and the headers of its reply are here. */
  async send(dispatcher: Dispatcher, request: Dispatcher.DispatchOptions): Promise<void> {
    if (this.#failed === undefined) dispatcher.dispatch(request, this)
    while (this.status === 0 && this.#failed === undefined) await this.#news()
    if (this.#failed !== undefined) throw this.#failed.error
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array, undefined> {
    return this
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    for (;;) {
      const value = this.#pieces.shift()
      if (value !== undefined) {
        this.#waiting -= value.length
        this.#told.read?.()
        if (this.#waiting <= mostWaiting) this.#controller?.resume()
        return { done: false, value }
      }
      if (this.#failed !== undefined) throw this.#failed.error
      if (this.#ended) return { done: true, value: undefined }
      await this.#news()
    }
  }

  /** Closes the connection; whoever reads is told the reason. */
  abort(reason: unknown): void {
    if (this.#ended || this.#failed !== undefined) return
    this.#pieces.length = 0
    this.#fail(reason)
    this.#controller?.abort(asError(reason))
  }

  /** Nothing more is read. A reply of which little is missing may come to its end, so that its connection can be used again. */
  leave(littleIsMissing: boolean): void {
    if (this.#ended || this.#failed !== undefined) return
    if (!littleIsMissing) {
      this.abort(new Error('the reply is not wanted'))
      return
    }
    const timer = setTimeout(() => this.abort(new Error('the reply did not end')), rest.ms).unref()
    this.#passedOver = { bytes: rest.bytes, timer }
    this.#pieces.length = 0
    this.#controller?.resume()
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#failed !== undefined) controller.abort(asError(this.#failed.error))
  }

  onRequestSent(): void {
    this.#told.sent?.()
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: Headers): void {
    if (status < 200) return
    this.status = status
    this.headers = headers
    this.#tell()
  }

  onResponseData(controller: Dispatcher.DispatchController, piece: Uint8Array): void {
    if (this.#passedOver !== undefined) {
      this.#passedOver.bytes -= piece.length
      if (this.#passedOver.bytes < 0) this.abort(new Error('the reply did not end'))
      return
    }
    this.#pieces.push(piece)
    this.#waiting += piece.length
    if (this.#waiting > mostWaiting) controller.pause()
    this.#tell()
  }

  onResponseEnd(): void {
    clearTimeout(this.#passedOver?.timer)
    this.#ended = true
    this.#tell()
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: unknown): void {
    this.#fail(error)
  }

  #fail(error: unknown): void {
    clearTimeout(this.#passedOver?.timer)
    this.#failed ??= { error }
    this.#tell()
  }

  /** Something has come. It is told once: Node.js looks into each promise that is resolved again. */
  #tell(): void {
    this.#wake?.()
    this.#wake = undefined
  }

  /** Resolves when something has come. */
  #news(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }
}

const asError = (reason: unknown): Error => (reason instanceof Error ? reason : new Error(String(reason)))
