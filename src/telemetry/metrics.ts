import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'

/** What the page asks for when it is read. */
export interface State {
  readonly turns: { counts(): { running: number; waiting: number } }
  readonly feed: { readonly alive: boolean }
  readonly upstreams: ReadonlyMap<string, { readonly breaker: keyof typeof breakerStates }>
}

/** From well to ill, so that a graph rises with trouble. */
const breakerStates = { closed: 0, probing: 1, open: 2 } as const

/** Upper bounds in seconds: fine where it usually is and one wants to know better, coarse out to the limits that are set by default. */
const buckets = {
  /** Reading takes milliseconds; an answer may take five minutes. */
  request: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
  /** Below 0.2 s it seems to be there at once; 60 s is the limit. */
  firstToken: [0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 20, 60],
  turn: [0.25, 0.5, 1, 2, 3, 5, 8, 13, 20, 30, 60, 120, 300],
  /** Most turns wait for nobody: all that is below the first bound is no waiting. */
  wait: [0.01, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300],
  /** A fast disk takes half a millisecond, one in a network ten; a statement may take 15 s. */
  commit: [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5, 15],
}

export type Metrics = ReturnType<typeof createMetrics>

/**
 * What is measured of this instance; every metric is named here. Labels have few values, known beforehand: codes, routes, and names of
 * the configuration. The name of a client, an id or a model that callers name would make a series for each, and tell who talks.
 */
export function createMetrics() {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  const histogram = <L extends string>(name: string, help: string, bounds: number[], labels: readonly L[]) =>
    new Histogram({ name, help, buckets: bounds, labelNames: labels, registers })
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    new Counter({ name, help, labelNames, registers })
  const ofUpstream = ['upstream'] as const
  return {
    registry,
    requests: histogram(
      'daehwa_http_request_duration_seconds',
      'Requests, from their headers to the last byte of the answer. status: its class, or aborted where the caller hung up',
      buckets.request,
      ['method', 'route', 'status'],
    ),
    turns: counter(
      'daehwa_turns_total',
      'Turns that have ended here. code: of what a failed or cancelled one did',
      ['status', 'code'],
    ),
    turnDuration: histogram(
      'daehwa_turn_duration_seconds',
      'Turns, from when they were kept to their end',
      buckets.turn,
      ['status'],
    ),
    turnFirstToken: histogram(
      'daehwa_turn_first_token_seconds',
      'From when a turn was kept to the first piece of its answer, with its waiting',
      buckets.firstToken,
      [],
    ),
    turnWait: histogram(
      'daehwa_turn_wait_seconds',
      'How long turns waited for those before them',
      buckets.wait,
      [],
    ),
    tokens: counter(
      'daehwa_tokens_total',
      'Tokens that upstreams counted, those of summaries too. direction: input or output',
      ['upstream', 'direction'],
    ),
    upstreamFirstToken: histogram(
      'daehwa_upstream_first_token_seconds',
      'From a request to an upstream to the first piece of its answer',
      buckets.firstToken,
      ofUpstream,
    ),
    upstreamErrors: counter(
      'daehwa_upstream_errors_total',
      'Requests to an upstream that failed, each try by itself',
      ['upstream', 'code'],
    ),
    again: {
      retry: counter('daehwa_upstream_retries_total', 'How often an upstream was asked again', ofUpstream),
      fallback: counter(
        'daehwa_upstream_fallbacks_total',
        'How often the next model was asked in place of one of this upstream',
        ofUpstream,
      ),
    },
    compactions: counter('daehwa_compactions_total', 'Compactions that have ended. outcome: done or failed', [
      'outcome',
    ]),
    commits: histogram(
      'daehwa_storage_commit_duration_seconds',
      'Transactions that write: a batch of SQLite, one of Postgres with its connection. outcome: kept or failed',
      buckets.commit,
      ['outcome'],
    ),
  }
}

/** Puts what is read at the moment on the page, and what can be counted beforehand there as 0, so that its first rise is seen. */
export function showState(metrics: Metrics, { turns, feed, upstreams }: State): void {
  const registers = [metrics.registry]
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      ...{ name, help, registers },
      collect() {
        this.set(read())
      },
    })
  gauge('daehwa_turns_running', 'Turns that this instance is answering', () => turns.counts().running)
  gauge('daehwa_turns_waiting', 'Turns that wait here for their turn', () => turns.counts().waiting)
  gauge('daehwa_feed_alive', 'Whether Redis carries what instances tell: 1 or 0', () => Number(feed.alive))
  new Gauge({
    name: 'daehwa_upstream_breaker',
    help: 'Whether an upstream is asked: 0 it is, 1 one request probes it, 2 it is left alone',
    labelNames: ['upstream'],
    registers,
    collect() {
      for (const [upstream, { breaker }] of upstreams) this.set({ upstream }, breakerStates[breaker])
    },
  })
  for (const status of ['completed', 'incomplete']) metrics.turns.inc({ status, code: '' }, 0)
  for (const upstream of upstreams.keys()) {
    for (const direction of ['input', 'output']) metrics.tokens.inc({ upstream, direction }, 0)
    for (const counter of Object.values(metrics.again)) counter.inc({ upstream }, 0)
  }
  for (const outcome of ['done', 'failed']) metrics.compactions.inc({ outcome }, 0)
  metrics.commits.zero({ outcome: 'failed' }) // those that are kept are there since the start
}
