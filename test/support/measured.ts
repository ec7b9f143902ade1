import { createMetrics } from '../../src/telemetry/metrics.ts'
import { MeasuringObserver } from '../../src/telemetry/observer.ts'

/** The real observer, for what is made without a server; nobody reads its metrics. */
export const measured = () => new MeasuringObserver(createMetrics(), () => performance.now())
