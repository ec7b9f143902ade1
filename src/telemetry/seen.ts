import type { ErrorCode } from '../conversation/errors.ts'
import type { AskSpan, Part, RequestSpan, Span, TurnSpan } from '../conversation/observer.ts'
import type { Finish, Monotonic } from '../conversation/ports.ts'
import type { TurnRecord } from '../conversation/turn.ts'
import type { Metrics } from './metrics.ts'
import { finishOf, type Traced, turnEnd } from './traces.ts'

/** What ends a request to an upstream from this side, and tells nothing of the upstream. */
const withdrawn: ReadonlySet<ErrorCode> = new Set([
  'turn_cancelled',
  'history_deleted',
  'server_shutting_down',
  'server_restarted',
  'storage_unavailable',
])

/** A span that is traced where there are traces, and no more. */
export class Seen implements Part {
  readonly traced: Traced | undefined

  constructor(traced: Traced | undefined) {
    this.traced = traced
  }

  get traceparent(): string | undefined {
    return this.traced?.traceparent
  }

  end(code?: ErrorCode): void {
    this.traced?.end(code, code !== undefined && !withdrawn.has(code))
  }
}

export const tracedOf = (span: Span | undefined): Traced | undefined =>
  span instanceof Seen ? span.traced : undefined

/** What is measured from its beginning on. */
class Timed extends Seen {
  readonly #clock: Monotonic
  readonly #begin: number

  constructor(traced: Traced | undefined, clock: Monotonic) {
    super(traced)
    this.#clock = clock
    this.#begin = clock()
  }

  /** How long it has taken so far. */
  get seconds(): number {
    return (this.#clock() - this.#begin) / 1000
  }
}

export class SeenRequest extends Seen implements RequestSpan {
  readonly #measure: (seconds: number, status: string) => void

  constructor(traced: Traced | undefined, measure: (seconds: number, status: string) => void) {
    super(traced)
    this.#measure = measure
  }

  answered(seconds: number, status?: number): void {
    this.#measure(seconds, status === undefined ? 'aborted' : `${Math.floor(status / 100)}xx`)
    if (status === undefined) this.traced?.end('aborted')
    else {
      this.traced?.set({ 'http.response.status_code': status })
      this.traced?.end(status >= 500 ? `${status}` : undefined, status >= 500)
    }
  }
}

export class SeenTurn extends Timed implements TurnSpan {
  readonly #metrics: Metrics
  #begun = false

  constructor(traced: Traced | undefined, clock: Monotonic, metrics: Metrics) {
    super(traced, clock)
    this.#metrics = metrics
  }

  claimed(): void {
    this.#metrics.turnWait.observe(this.seconds)
  }

  begun(): void {
    if (this.#begun) return
    this.#begun = true
    this.#metrics.turnFirstToken.observe(this.seconds)
  }

  ended(record: TurnRecord): void {
    const { status, error } = record
    this.#metrics.turns.inc({ status, code: error?.code ?? '' })
    this.#metrics.turnDuration.observe({ status }, this.seconds)
    this.traced?.set(turnEnd(record))
    this.traced?.end(error?.code, status === 'failed')
  }
}

export class SeenAsk extends Timed implements AskSpan {
  readonly #metrics: Metrics
  readonly #upstream: string

  constructor(traced: Traced | undefined, clock: Monotonic, metrics: Metrics, upstream: string) {
    super(traced, clock)
    this.#metrics = metrics
    this.#upstream = upstream
  }

  begun(): void {
    const { seconds } = this
    this.#metrics.upstreamFirstToken.observe({ upstream: this.#upstream }, seconds)
    this.traced?.set({ 'gen_ai.response.time_to_first_chunk': seconds })
  }

  finished(finish: Finish): void {
    const { tokens } = this.#metrics
    const { usage } = finish
    if (usage !== undefined) {
      tokens.inc({ upstream: this.#upstream, direction: 'input' }, usage.input_tokens)
      tokens.inc({ upstream: this.#upstream, direction: 'output' }, usage.output_tokens)
    }
    this.traced?.set(finishOf(finish))
  }

  override end(code?: ErrorCode): void {
    if (code !== undefined && !withdrawn.has(code)) {
      this.#metrics.upstreamErrors.inc({ upstream: this.#upstream, code })
    }
    super.end(code)
  }
}
