import {
  isSpanContextValid,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace'
import type { Log } from '../conversation/ports.ts'
import type { NewSpan, Traced, Traces } from './traces.ts'

export interface TracesConfig {
  /** Where the collector is; `/v1/traces` is added. Without a slash at its end. */
  readonly endpoint: string
  readonly headers: Readonly<Record<string, string>>
  readonly serviceName: string
}

/** Milliseconds: how long spans are gathered, and how long the collector has for them. Nothing waits for it. */
const limits = { gather: 1_000, deliver: 5_000 } as const

const kinds = { server: SpanKind.SERVER, client: SpanKind.CLIENT } as const

/** Spans to a collector, by OTLP over HTTP, as JSON. The SDK is registered nowhere: these traces are of one server. */
export class OpenTelemetryTraces implements Traces, AsyncDisposable {
  readonly #provider: TracerProvider
  readonly #tracer: Tracer

  constructor({ endpoint, headers, serviceName }: TracesConfig, version: string, log: Log) {
    const exporter = new OTLPTraceExporter({
      ...{ url: `${endpoint}/v1/traces`, headers: { ...headers }, timeoutMillis: limits.deliver },
    })
    this.#provider = new TracerProvider({
      resource: resourceFromAttributes({ 'service.name': serviceName, 'service.version': version }),
      spanProcessors: [
        new BatchSpanProcessor({
          exporter: told(exporter, log),
          scheduledDelayMillis: limits.gather,
          exportTimeoutMillis: limits.deliver,
        }),
      ],
    })
    this.#tracer = this.#provider.getTracer('daehwa', version)
  }

  start({ name, kind, attributes }: NewSpan, of: Traced | string | undefined): Traced {
    const parent = of instanceof OpenSpan ? of.context : typeof of === 'string' ? parse(of) : undefined
    const context = parent === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, parent)
    const options = {
      kind: kind === undefined ? SpanKind.INTERNAL : kinds[kind],
      ...(attributes && { attributes }),
    }
    return new OpenSpan(this.#tracer.startSpan(name, options, context))
  }

  /** Delivers what is left. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#provider.shutdown()
  }
}

class OpenSpan implements Traced {
  readonly context: SpanContext
  readonly #span: Span

  constructor(span: Span) {
    this.#span = span
    this.context = span.spanContext()
  }

  get traceparent(): string {
    const { traceId, spanId, traceFlags } = this.context
    return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`
  }

  set(attributes: NonNullable<NewSpan['attributes']>): void {
    this.#span.setAttributes(attributes)
  }

  end(error?: string, bad = false): void {
    if (!this.#span.isRecording()) return // it has ended, or nobody wants it
    if (error !== undefined) this.#span.setAttribute('error.type', error)
    if (bad) this.#span.setStatus({ code: SpanStatusCode.ERROR })
    this.#span.end()
  }
}

/** W3C "Trace Context", 3.2; what is no such header begins a new trace. */
function parse(traceparent: string): SpanContext | undefined {
  const match = /^(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:$|-)/.exec(traceparent)
  const [, traceId = '', spanId = '', flags = ''] = match ?? []
  const context = { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & 1, isRemote: true }
  return isSpanContextValid(context) ? context : undefined
}

/** Tells the operator when the collector does not take spans, and when it takes them again. */
function told(
  exporter: OTLPTraceExporter,
  log: Log,
): Pick<OTLPTraceExporter, 'export' | 'shutdown' | 'forceFlush'> {
  let delivers = true
  return {
    export(spans, done) {
      exporter.export(spans, (result) => {
        const delivered = result.code === 0
        if (delivered && !delivers) log.info({}, 'the collector takes spans again')
        if (!delivered && delivers)
          log.warn({ err: result.error }, 'the collector takes no spans: they are dropped')
        delivers = delivered
        done(result)
      })
    },
    shutdown: () => exporter.shutdown(),
    forceFlush: () => exporter.forceFlush(),
  }
}
