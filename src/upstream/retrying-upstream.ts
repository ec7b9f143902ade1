import { setTimeout as wait } from 'node:timers/promises'
import {
  BrokenCircuitError,
  type CircuitBreakerPolicy,
  CircuitState,
  circuitBreaker,
  handleWhen,
  SamplingBreaker,
} from 'cockatiel'
import { codeOf, DaehwaError, type ErrorCode } from '../conversation/errors.ts'
import type { Observer } from '../conversation/observer.ts'
import type { Finish, Hear, ModelRequest, Upstream } from '../conversation/ports.ts'

/** At most so many tries more, after pauses that double from here (milliseconds); a longer `Retry-After` is not waited for. */
const retry = { times: 2, pause: 200, longestWait: 5 }
/** Half of at least 20 requests in 10 s failing opens the circuit; after 5 s one request probes it. */
const breaker = { threshold: 0.5, duration: 10_000, minimumRps: 2, halfOpenAfter: 5_000 }

/** What tells of an upstream in trouble, rather than of a request that it does not like. */
const troubles: ReadonlySet<ErrorCode> = new Set([
  'upstream_error',
  'upstream_bad_response',
  'upstream_unavailable',
  'upstream_timeout',
])

/** What ends a request from this side: of a probe it says nothing good, and the circuit stays open. */
const withdrawn: ReadonlySet<ErrorCode> = new Set([
  'turn_cancelled',
  'history_deleted',
  'server_shutting_down',
])

/**
 * An upstream that is asked again when it fails for a passing reason (one with `retryAfter`) before it has said
 * anything, within the deadline of `signal`; and not at all while it fails most of the time.
 */
export class RetryingUpstream implements Upstream {
  readonly #upstream: Upstream
  readonly #told: { readonly name: string; readonly observer: Observer }
  readonly #circuit: CircuitBreakerPolicy

  /** `told`: who hears how it goes, and under which name. */
  constructor(upstream: Upstream, told: { readonly name: string; readonly observer: Observer }) {
    this.#upstream = upstream
    this.#told = told
    const { halfOpenAfter, ...sampling } = breaker
    const isTrouble = (error: unknown) =>
      (troubles.has(codeOf(error)) && !isRefusal(error)) ||
      (this.#isProbing() && withdrawn.has(codeOf(error)))
    this.#circuit = circuitBreaker(handleWhen(isTrouble), {
      halfOpenAfter,
      breaker: new SamplingBreaker(sampling),
    })
  }

  async answer(request: ModelRequest, hear: Hear, signal: AbortSignal): Promise<Finish> {
    for (let tries = 0; ; tries++) {
      if (this.#isProbing()) throw circuitOpen() // one probe is under way, and enough
      let finish: Promise<Finish> | undefined
      try {
        await this.#circuit.execute(
          () =>
            new Promise<void>((begun, failed) => {
              let isFirst = true
              const hearing: Hear = (piece) => {
                if (isFirst) begun()
                isFirst = false
                return hear(piece)
              }
              finish = this.#upstream.answer(request, hearing, signal)
              finish.then(() => begun(), failed)
            }),
        )
      } catch (error) {
        signal.throwIfAborted()
        if (error instanceof BrokenCircuitError) throw circuitOpen()
        const pause = tries < retry.times ? pauseBefore(tries, error) : undefined
        if (pause === undefined) throw error
        await wait(pause, undefined, { signal }).catch(() => signal.throwIfAborted())
        this.#told.observer.again('retry', this.#told.name)
        continue
      }
      if (finish !== undefined) return finish
    }
  }

  get breaker(): 'closed' | 'probing' | 'open' {
    if (this.#circuit.state === CircuitState.Closed) return 'closed'
    return this.#isProbing() ? 'probing' : 'open'
  }

  #isProbing(): boolean {
    return this.#circuit.state === CircuitState.HalfOpen
  }

  models(): ReturnType<Upstream['models']> {
    return this.#upstream.models()
  }
}

/** Milliseconds until the next try; undefined for what would only fail again, or asks to be left alone for longer. */
function pauseBefore(tries: number, error: unknown): number | undefined {
  if (!(error instanceof DaehwaError) || error.retryAfter === undefined) return undefined
  if (error.retryAfter > retry.longestWait) return undefined
  if (error.code === 'upstream_rate_limited') return error.retryAfter * 1000
  return retry.pause * 2 ** tries * (0.5 + Math.random())
}

/** A status below 500 that is nobody's trouble but the request's. */
const isRefusal = (error: unknown): boolean =>
  error instanceof DaehwaError && error.code === 'upstream_error' && error.retryAfter === undefined

const circuitOpen = (): DaehwaError =>
  DaehwaError.of('upstream_unavailable', { detail: 'it has failed most of the time' }).after(
    breaker.halfOpenAfter / 1000,
  )
