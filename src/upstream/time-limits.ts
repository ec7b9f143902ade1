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

/** How long the token counts and the end of the stream are waited for once the answer is whole, in milliseconds. */
const grace = 2_000

/**
 * One timer for an answer: it aborts with `upstream_timeout` when the first piece, then any next bytes, and then the
 * end do not come in time, and with the reason of `outer` when that aborts.
 */
export class AnswerTimer implements Disposable {
  readonly #abort = new AbortController()
  readonly #limits: TimeLimits
  readonly #outer: AbortSignal
  readonly #onOuter: () => void
  #timer: NodeJS.Timeout
  #phase: 'before' | 'within' | 'behind' = 'before'

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
    this.#phase = 'within'
    this.#touch()
  }

  /** The finish reason came: what is still to come has a short time in all, unless the answer goes on after all. */
  end(): void {
    if (this.#phase === 'behind') return
    this.#phase = 'behind'
    clearTimeout(this.#timer)
    const rest = Math.min(grace, this.#limits.idle)
    this.#timer = this.#after(rest, `it did not end within ${rest} ms of its finish reason`)
  }

  /** Passes bytes on. From the first piece to the finish reason any of them count as life, comments of the stream too. */
  async *watch(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const chunk of bytes) {
      if (this.#phase === 'within') this.#touch()
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
