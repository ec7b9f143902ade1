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
 * One timer for an answer: it stops it with `upstream_timeout` when the first piece, then any next bytes, and then the
 * end do not come in time, and with the reason of `outer` when that aborts.
 */
export class AnswerTimer implements Disposable {
  readonly #limits: TimeLimits
  readonly #outer: AbortSignal
  readonly #stop: (reason: unknown) => void
  readonly #onOuter = () => this.#abort(this.#outer.reason)
  #timer: NodeJS.Timeout
  #phase: 'before' | 'within' | 'behind' = 'before'
  #stopped: { readonly reason: unknown } | undefined

  /** `stop` is called once at most. */
  constructor(limits: TimeLimits, outer: AbortSignal, stop: (reason: unknown) => void) {
    this.#limits = limits
    this.#outer = outer
    this.#stop = stop
    outer.addEventListener('abort', this.#onOuter)
    if (outer.aborted) this.#onOuter()
    this.#timer = this.#after(limits.firstToken, () => `no answer began within ${limits.firstToken} ms`)
  }

  /** Why it was stopped, if it was. */
  get stopped(): { readonly reason: unknown } | undefined {
    return this.#stopped
  }

  /** @throws why it was stopped, if it was */
  check(): void {
    if (this.#stopped !== undefined) throw this.#stopped.reason
  }

  /** A piece of the answer came: from here on the idle limit holds. */
  begin(): void {
    if (this.#phase === 'within') {
      this.#timer.refresh()
      return
    }
    this.#phase = 'within'
    clearTimeout(this.#timer)
    const { idle } = this.#limits
    this.#timer = this.#after(idle, () => `nothing came for ${idle} ms in the middle of the answer`)
  }

  /** The finish reason came: what is still to come has a short time in all, unless the answer goes on after all. */
  end(): void {
    if (this.#phase === 'behind') return
    this.#phase = 'behind'
    clearTimeout(this.#timer)
    const ms = Math.min(grace, this.#limits.idle)
    this.#timer = this.#after(ms, () => `it did not end within ${ms} ms of its finish reason`)
  }

  /** Bytes came. From the first piece to the finish reason any of them count as life, comments of the stream too. */
  live(): void {
    if (this.#phase === 'within') this.#timer.refresh()
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer)
    this.#outer.removeEventListener('abort', this.#onOuter)
  }

  #after(ms: number, detail: () => string): NodeJS.Timeout {
    return setTimeout(() => this.#abort(DaehwaError.of('upstream_timeout', { detail: detail() })), ms)
  }

  #abort(reason: unknown): void {
    if (this.#stopped !== undefined) return
    this.#stopped = { reason }
    this.#stop(reason)
  }
}
