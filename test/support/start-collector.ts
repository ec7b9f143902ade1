import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { onTestFinished } from 'vitest'

/** A span as it is sent (OTLP/HTTP, JSON), its attributes made plain. */
export interface SentSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  /** 1 internal, 2 server, 3 client. */
  readonly kind: number
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly attributes: Readonly<Record<string, unknown>>
  /** Code 2 is an error. */
  readonly status: { readonly code: number }
}

export interface Collector {
  readonly url: string
  readonly spans: SentSpan[]
  /** All that was sent, as it came. */
  readonly raw: string[]
  readonly headers: IncomingHttpHeaders[]
  /** The attributes of those who sent. */
  readonly resources: Readonly<Record<string, unknown>>[]
  /** What it answers. */
  status: number
}

interface Attribute {
  readonly key: string
  readonly value: Readonly<Record<string, unknown>>
}

const plain = (attributes: readonly Attribute[] = []) =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]))

/** A collector of OpenTelemetry on loopback, which keeps what it is sent. */
export async function startCollector(): Promise<Collector> {
  const collector: Collector = { url: '', spans: [], raw: [], headers: [], resources: [], status: 200 }
  const server = createServer(async (request, reply) => {
    const body = await text(request)
    if (request.url !== '/v1/traces') return void reply.writeHead(404).end()
    collector.raw.push(body)
    collector.headers.push(request.headers)
    for (const { resource, scopeSpans } of JSON.parse(body).resourceSpans) {
      collector.resources.push(plain(resource.attributes))
      for (const { spans } of scopeSpans)
        for (const span of spans) collector.spans.push({ ...span, attributes: plain(span.attributes) })
    }
    reply.writeHead(collector.status, { 'content-type': 'application/json' }).end('{}')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return Object.assign(collector, { url: `http://127.0.0.1:${port}` })
}
