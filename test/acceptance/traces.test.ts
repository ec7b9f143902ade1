import { expect, it } from 'vitest'
import { clientOf } from '../support/client.ts'
import { type Collector, type SentSpan, startCollector } from '../support/start-collector.ts'
import { postgresForTests } from '../support/start-postgres.ts'
import { runToEnd, startServer } from '../support/start-server.ts'
import { startTranscriptUpstream } from '../support/transcript-upstream.ts'

const postgres = postgresForTests()

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const callersSpan = '00f067aa0ba902b7'
const traceparent = `00-${traceId}-${callersSpan}-01`

async function start(env: Record<string, string> = {}) {
  const [collector, upstream] = [await startCollector(), await startTranscriptUpstream()]
  const server = await startServer({
    env: { OPENAI_BASE_URL: upstream.baseUrl, OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, ...env },
  })
  return { collector, upstream, server }
}

/** Spans as `name < name of its parent`, in the order of the alphabet: many begin in the same moment. */
function tree(spans: readonly SentSpan[]): string[] {
  const nameOf = (id: string | undefined) =>
    spans.find(({ spanId }) => spanId === id)?.name ?? id ?? 'nothing'
  return spans.map(({ name, parentSpanId }) => `${name} < ${nameOf(parentSpanId)}`).toSorted()
}

const called = ({ spans }: Collector, name: string): SentSpan[] => spans.filter((span) => span.name === name)

const seconds = ({ startTimeUnixNano: from, endTimeUnixNano: to }: SentSpan): number =>
  Number(BigInt(to) - BigInt(from)) / 1e9

it.each(['SQLite', 'Postgres'])(
  'tells a collector of a query, of all that is part of it, and of nothing said, on %s',
  async (database) => {
    const key = 'canary-key-4711'
    const { collector, upstream, server } = await start({
      ...(database === 'Postgres' && { DATABASE_URL: await postgres.newDatabase() }),
      DAEHWA_API_KEY: key,
      OPENAI_API_KEY: 'canary-upstream-4712',
      OTEL_SERVICE_NAME: 'our-bot',
      OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20canary-collector-4716, x-team=a',
    })
    const headers = { authorization: `Bearer ${key}`, traceparent, tracestate: 'canary=state-4717' }
    upstream.faults.push({ say: 'canary-answer-4714', pause: 30 })
    const client = clientOf(server.url, headers)
    const reply = await client.query('canary-name-4715', 'canary-said-4713', {
      instructions: 'canary-said-4713',
    })
    expect(reply.status).toBe(200)
    expect((await client.send('GET', '/clients/canary-name-4715?x=canary-said-4713')).status).toBe(200)
    expect((await fetch(`${server.url}/metrics`, { headers })).status).toBe(200)
    expect(await server.end('SIGTERM')).toBe(0)

    expect(tree(collector.spans)).toEqual([
      `GET /clients/:name < ${callersSpan}`,
      `POST /query < ${callersSpan}`,
      'accept < POST /query',
      'chat transcript < turn',
      'commit < turn',
      'turn < POST /query',
    ])
    expect(new Set(collector.spans.map((span) => span.traceId))).toEqual(new Set([traceId]))
    const [chat] = called(collector, 'chat transcript')
    expect(upstream.journal[0]?.headers['traceparent']).toBe(`00-${traceId}-${chat?.spanId}-01`)
    expect(upstream.journal[0]?.headers['tracestate']).toBeUndefined()
    expect(chat).toMatchObject({
      kind: 3,
      status: { code: 0 },
      attributes: {
        'gen_ai.operation.name': 'chat',
        'gen_ai.provider.name': 'openai',
        'gen_ai.request.model': 'transcript',
        'gen_ai.response.model': 'transcript',
        'gen_ai.response.time_to_first_chunk': expect.any(Number),
        'gen_ai.usage.input_tokens': 2,
        'gen_ai.usage.output_tokens': 3,
        'server.address': '127.0.0.1',
        'server.port': Number(new URL(upstream.baseUrl).port),
        'daehwa.upstream': 'default',
      },
    })
    expect(called(collector, 'POST /query')[0]).toMatchObject({
      kind: 2,
      attributes: {
        'http.request.method': 'POST',
        'http.route': '/query',
        'http.response.status_code': 200,
        'url.scheme': 'http',
      },
    })
    expect(called(collector, 'turn')[0]?.attributes).toEqual({
      'daehwa.turn.id': reply.body.turn_id,
      'daehwa.turn.status': 'completed',
    })
    expect(collector.resources[0]).toMatchObject({ 'service.name': 'our-bot' })
    const { authorization, 'x-team': team } = collector.headers[0] ?? {}
    expect([authorization, team]).toEqual(['Bearer canary-collector-4716', 'a'])
    expect(collector.raw.join()).not.toMatch(/canary/)
    expect(server.output()).not.toMatch(/canary/)
  },
)

it('tells of a turn to its end, though its caller has hung up and others wait behind it', async () => {
  const { collector, upstream, server } = await start()
  await clientOf(server.url).model('a')
  upstream.faults.push({ delay: 800 })
  const hangUp = new AbortController()
  const body = JSON.stringify({ input: 'hi', client_name: 'a' })
  const asked = fetch(`${server.url}/query`, {
    ...{ method: 'POST', headers: { 'content-type': 'application/json', traceparent }, body },
    signal: hangUp.signal,
  }).catch(() => 'gone')
  await upstream.arrived(1)
  const second = clientOf(server.url).query('a', 'on')
  hangUp.abort()
  expect(await asked).toBe('gone')
  expect((await second).status).toBe(200)
  expect(await server.end('SIGTERM')).toBe(0)

  const first = collector.spans.filter((span) => span.traceId === traceId)
  expect(tree(first)).toEqual([
    `POST /query < ${callersSpan}`,
    'accept < POST /query',
    'chat transcript < turn',
    'commit < turn',
    'turn < POST /query',
  ])
  const [request, turn] = ['POST /query', 'turn'].map((name) => first.find((span) => span.name === name))
  expect(request?.attributes['error.type']).toBe('aborted')
  expect(turn?.attributes['daehwa.turn.status']).toBe('completed')
  expect(turn && seconds(turn)).toBeGreaterThan(0.7)
  expect(request && seconds(request)).toBeLessThan(0.7)
  const others = collector.spans.filter((span) => span.traceId !== traceId && span.name !== 'GET /model')
  expect(tree(others)).toEqual([
    'POST /query < nothing',
    'accept < POST /query',
    'chat transcript < turn',
    'commit < turn',
    'queue < turn',
    'turn < POST /query',
  ])
  expect(new Set(others.map((span) => span.traceId)).size).toBe(1)
})

it('tells of each try by itself, of what failed and what was cancelled', async () => {
  const { collector, upstream, server } = await start()
  const client = clientOf(server.url)
  upstream.faults.push({ status: 500 }, { status: 401 }, { stallAfter: 1 })
  expect((await client.query('a', 'hi')).status).toBe(502)
  const cut = await client.query('a', 'on', { background: true })
  await upstream.arrived(3)
  await client.send('POST', `/turns/${cut.body.id}/cancel`)
  expect(await server.end('SIGTERM')).toBe(0)
  const ends = (name: string) =>
    called(collector, name).map(({ attributes, status }) => [attributes['error.type'], status.code])
  expect(ends('chat transcript')).toEqual([
    ['upstream_error', 2],
    ['upstream_auth', 2],
    ['turn_cancelled', 0],
  ])
  expect(ends('turn')).toEqual([
    ['upstream_auth', 2],
    ['turn_cancelled', 0],
  ])
  expect(ends('POST /query')).toEqual([
    ['502', 2],
    [undefined, 0],
  ])
  expect(new Set(upstream.journal.map(({ headers }) => headers['traceparent'])).size).toBe(3)
})

it('respects a caller who wants no trace, and does not believe what is no header', async () => {
  const { collector, upstream, server } = await start()
  const ask = (given: string) => clientOf(server.url, { traceparent: given }).query('a', 'hi')
  expect((await ask(`00-${traceId}-${callersSpan}-00`)).status).toBe(200)
  for (const wrong of ['canary', `00-${'0'.repeat(32)}-${callersSpan}-01`, `ff-${traceId}-${callersSpan}-01`])
    expect((await ask(wrong)).status).toBe(200)
  expect(await server.end('SIGTERM')).toBe(0)
  expect(called(collector, 'turn')).toHaveLength(3)
  expect(collector.spans.filter((span) => span.traceId === traceId)).toEqual([])
  expect(upstream.journal[0]?.headers['traceparent']).toMatch(new RegExp(`^00-${traceId}-[0-9a-f]{16}-00$`))
})

it('answers as ever while the collector takes nothing, and says so once', async () => {
  const { collector, server } = await start({ OTEL_EXPORTER_OTLP_HEADERS: 'x-key=canary-collector-4716' })
  collector.status = 400
  for (let n = 0; n < 3; n++) {
    expect((await clientOf(server.url).query('a', 'hi')).status).toBe(200)
    await expect.poll(() => collector.raw.length, { timeout: 5_000 }).toBeGreaterThan(n)
  }
  expect(server.output().match(/the collector takes no spans/g)).toHaveLength(1)
  collector.status = 200
  await clientOf(server.url).query('a', 'hi')
  await expect.poll(() => server.output(), { timeout: 5_000 }).toContain('takes spans again')
  expect(server.output()).not.toContain('canary')
  expect(await server.end('SIGTERM')).toBe(0)
})

it('loads nothing of the SDK and sends nothing without an endpoint', async () => {
  const upstream = await startTranscriptUpstream()
  const hooks = `import { registerHooks } from 'node:module'
    registerHooks({ load(url, context, next) {
      if (url.includes('@opentelemetry')) process.stderr.write('loaded ' + url.replace(/.*@opentelemetry/, '') + '\\n')
      return next(url, context)
    } })`
  const env = {
    OPENAI_BASE_URL: upstream.baseUrl,
    NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(hooks)}`,
  }
  const loadedBy = async (more: Record<string, string>) => {
    const server = await startServer({ env: { ...env, ...more } })
    expect((await clientOf(server.url, { traceparent }).query('a', 'hi')).status).toBe(200)
    await server.end('SIGTERM')
    return [...new Set(server.output().match(/^loaded \/([\w-]+)/gm))].map((line) => line.slice(8))
  }
  // prom-client has a use for the API by itself; it does nothing without an SDK.
  expect(await loadedBy({})).toEqual(['api'])
  expect(upstream.journal[0]?.headers['traceparent']).toBeUndefined()
  const { url } = await startCollector()
  expect(await loadedBy({ OTEL_EXPORTER_OTLP_ENDPOINT: url })).toContain('sdk-trace')
})

it.each([
  [
    { OTEL_EXPORTER_OTLP_ENDPOINT: 'localhost:4318' },
    /^daehwa: OTEL_EXPORTER_OTLP_ENDPOINT must begin with http/,
  ],
  [
    { OTEL_EXPORTER_OTLP_HEADERS: 'Bearer canary-4718' },
    /^daehwa: OTEL_EXPORTER_OTLP_HEADERS must be name=value, .+\n$/,
  ],
  [
    { OTEL_EXPORTER_OTLP_HEADERS: 'x=canary-4718%' },
    /^daehwa: OTEL_EXPORTER_OTLP_HEADERS must be name=value/,
  ],
])('refuses to start with %j', async (env, line) => {
  const { code, output } = await runToEnd({ env })
  expect(code).toBe(1)
  expect(output).toMatch(line)
  expect(output).not.toContain('canary')
})
