import type { ErrorCode } from '../conversation/errors.ts'
import type {
  AskSpan,
  Observer,
  Part,
  SeenRequest as Request,
  RequestSpan,
  Span,
  TurnSpan,
} from '../conversation/observer.ts'
import type { Monotonic } from '../conversation/ports.ts'
import type { Metrics } from './metrics.ts'
import { Seen, SeenAsk, SeenRequest, SeenTurn, tracedOf } from './seen.ts'
import { ask, request, type Traces, turn } from './traces.ts'

/** Those of RFC 9110 and PATCH; a caller may send others, which are all `_OTHER`, as OpenTelemetry calls them. */
const methods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'CONNECT'])

/** Counts what it is told, and hands it on to be traced where there are traces. */
export class MeasuringObserver implements Observer {
  readonly #metrics: Metrics
  readonly #clock: Monotonic
  readonly #traces: Traces | undefined

  constructor(metrics: Metrics, clock: Monotonic, traces?: Traces) {
    this.#metrics = metrics
    this.#clock = clock
    this.#traces = traces
  }

  request(seen: Request): RequestSpan {
    const method = methods.has(seen.method) ? seen.method : '_OTHER'
    const { route, traceparent } = seen
    const traced = seen.traced ? this.#traces?.start(request(method, route), traceparent) : undefined
    const { requests } = this.#metrics
    return new SeenRequest(traced, (seconds, status) =>
      requests.observe({ method, route: route ?? 'none', status }, seconds),
    )
  }

  turn(id: string, of: Span | undefined): TurnSpan {
    return new SeenTurn(this.#traces?.start(turn(id), tracedOf(of)), this.#clock, this.#metrics)
  }

  part(name: string, of: Span | undefined): Part | undefined {
    return this.#traces && new Seen(this.#traces.start({ name }, tracedOf(of)))
  }

  ask(upstream: string, address: string, model: string, of: Span | undefined): AskSpan {
    const traced = this.#traces?.start(ask(upstream, address, model), tracedOf(of))
    return new SeenAsk(traced, this.#clock, this.#metrics, upstream)
  }

  again(how: 'retry' | 'fallback', upstream: string): void {
    this.#metrics.again[how].inc({ upstream })
  }

  compacted(code?: ErrorCode): void {
    this.#metrics.compactions.inc({ outcome: code === undefined ? 'done' : 'failed' })
  }

  committed(ms: number, kept: boolean): void {
    this.#metrics.commits.observe({ outcome: kept ? 'kept' : 'failed' }, ms / 1000)
  }
}
