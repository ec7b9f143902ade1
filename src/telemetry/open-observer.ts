import type { Log, Monotonic } from '../conversation/ports.ts'
import { createMetrics, type Metrics } from './metrics.ts'
import { MeasuringObserver } from './observer.ts'
import type { TracesConfig } from './open-telemetry.ts'

interface ObserverDeps {
  readonly clock: Monotonic
  readonly log: Log
  readonly version: string
}

/** What measures and, where there is a collector for them, traces. Until it is disposed of spans may be under way. */
export async function openObserver(
  traces: TracesConfig | undefined,
  { clock, log, version }: ObserverDeps,
): Promise<{ observer: MeasuringObserver; metrics: Metrics } & AsyncDisposable> {
  const metrics = createMetrics()
  const opened = traces && (await openTraces(traces, version, log))
  return {
    ...{ observer: new MeasuringObserver(metrics, clock, opened), metrics },
    [Symbol.asyncDispose]: async () => opened?.[Symbol.asyncDispose](),
  }
}

async function openTraces(traces: TracesConfig, version: string, log: Log) {
  const { OpenTelemetryTraces } = await import('./open-telemetry.ts') // some megabytes that nobody needs without a collector
  return new OpenTelemetryTraces(traces, version, log)
}
