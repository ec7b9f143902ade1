import { DaehwaError } from '../conversation/errors.ts'

/** How long an upstream may keep a turn waiting, in milliseconds. */
export interface TimeLimits {
  /** For the connection. */
  readonly connect: number
  /** From the request to the first piece of the answer. */
  readonly firstToken: number
  /** Between two pieces. */
  readonly idle: number
}

/**
 * One timer for an answer: it aborts with `upstream_timeout` when the first piece, and then any next bytes, do
 * not come in time, and with the reason of `outer` when that aborts.
 */
export class AnswerTimer implements Disposable {
  readonly #abort = new AbortController()
  readonly #limits: TimeLimits
  readonly #outer: AbortSignal
  readonly #onOuter: () => void
  #timer: NodeJS.Timeout
  #begun = false

  constructor(limits: TimeLimits, outer: AbortSignal) {
    this.#limits = limits
    this.#outer = outer
    this.#onOuter = () => this.#abort.abort(outer.reason)
    outer.addEventListener('abort', this.#onOuter, { once: true })
    if (outer.aborted) this.#onOuter()
    this.#timer = this.#after(limits.firstToken, `no answer began within ${limits.firstToken} ms`)
  }

  get signal(): AbortSignal {
    return this.#abort.signal
  }

  /** A piece of the answer came: from here on the idle limit holds. */
  begin(): void {
    this.#begun = true
    this.#touch()
  }

  /** Passes bytes on. Once the answer has begun any of them count as life, comments of the stream too. */
  async *watch(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const chunk of bytes) {
      if (this.#begun) this.#touch()
      yield chunk
    }
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer)
    this.#outer.removeEventListener('abort', this.#onOuter)
  }

  #touch(): void {
    clearTimeout(this.#timer)
    const { idle } = this.#limits
    this.#timer = this.#after(idle, `nothing came for ${idle} ms in the middle of the answer`)
  }

  #after(ms: number, detail: string): NodeJS.Timeout {
    return setTimeout(() => this.#abort.abort(DaehwaError.of('upstream_timeout', { detail })), ms)
  }
}
