import { expect, it } from 'vitest'
import { clientOf } from '../support/client.ts'
import { readEvents } from '../support/events.ts'
import { startCollector } from '../support/start-collector.ts'
import { postgresForTests } from '../support/start-postgres.ts'
import { startRedis } from '../support/start-redis.ts'
import { startServer } from '../support/start-server.ts'
import { type Fault, startTranscriptUpstream } from '../support/transcript-upstream.ts'

const postgres = postgresForTests()

/** Words that are nowhere but where somebody has put them. */
const canaries = {
  operator: 'canary-operator-4711',
  upstream: 'canary-upstream-4712',
  collector: 'canary-collector-4713',
  name: 'canary-name-4714',
  said: 'canary-said-4715',
  answer: 'canary-answer-4716',
  thought: 'canary-thought-4717',
  instructions: 'canary-instructions-4718',
  metadata: 'canary-metadata-4719',
  once: 'canary-once-4720',
}

async function onPostgres(): Promise<Record<string, string>> {
  return { DATABASE_URL: await postgres.newDatabase(), REDIS_URL: (await startRedis()).url }
}

it.each([
  ['SQLite', 'trace', async () => ({}) as Record<string, string>],
  ['SQLite', 'debug', async () => ({}) as Record<string, string>],
  ['Postgres and Redis', 'trace', onPostgres],
])(
  'promise 39: no key, no password and nothing that was said is told by logs, errors, metrics or traces, on %s at %s',
  async (_database, level, database) => {
    const [upstream, collector, data] = [
      await startTranscriptUpstream(),
      await startCollector(),
      await database(),
    ]
    const passwords = Object.values(data).map((url) => new URL(url).password)
    const server = await startServer({
      env: {
        ...data,
        OPENAI_BASE_URL: upstream.baseUrl,
        OPENAI_API_KEY: canaries.upstream,
        DAEHWA_API_KEY: canaries.operator,
        DAEHWA_LOG_LEVEL: level,
        DAEHWA_FIRST_TOKEN_TIMEOUT_MS: '300',
        DAEHWA_CONTEXT_WINDOW: '8192',
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
        OTEL_EXPORTER_OTLP_HEADERS: `authorization=Bearer%20${canaries.collector}`,
      },
    })
    const operator = clientOf(server.url, { authorization: `Bearer ${canaries.operator}` })
    const made = await operator.send('POST', '/admin/keys', { tenant: 'acme' })
    const { key } = made.body as { key: string }
    const client = clientOf(server.url, { authorization: `Bearer ${key}` })
    const { name, said } = canaries
    const path = `/clients/${name}`
    const told: string[] = []
    const expectError = async (sent: Promise<{ status: number; text: string }>) => {
      const { status, text } = await sent
      expect(status, text).toBeGreaterThanOrEqual(400)
      told.push(text)
    }

    const settings = { instructions: canaries.instructions, metadata: { note: canaries.metadata } }
    expect((await client.send('PATCH', path, settings)).status).toBe(200)
    const thinking = [
      `{"choices":[{"delta":{"reasoning_content":"${canaries.thought}"}}]}`,
      `{"choices":[{"delta":{"content":"${canaries.answer}"},"finish_reason":"stop"}]}`,
    ]
    upstream.faults.push({ data: thinking })
    expect((await client.query(name, said)).body.response).toBe(canaries.answer)
    upstream.faults.push({ say: canaries.answer })
    const streamed = await readEvents(`${server.url}/query`, {
      method: 'POST',
      headers: {
        ...{ authorization: `Bearer ${key}`, 'content-type': 'application/json' },
        'idempotency-key': canaries.once,
      },
      body: JSON.stringify({ client_name: name, input: said, stream: true }),
    })
    expect(streamed.done).toBe(true)

    // Every way in which an upstream fails, quoting what it was sent.
    const body = `{"error":{"message":"${said} ${canaries.upstream}","code":"bad ${said}"}}`
    const faults: Fault[][] = [
      ...[400, 401, 403, 404].map((status) => [{ status, body }]),
      ...[429, 500].map((status) => Array.from({ length: 3 }, () => ({ status, body }))),
      Array.from({ length: 3 }, () => ({ data: [body] })),
      [{ data: [`{"choices":[{"delta":{"content":"${canaries.answer}`] }],
      [{ status: 200, body: canaries.answer, headers: { 'content-type': 'text/html' } }],
      [{ status: 302, headers: { location: `http://127.0.0.1:9/${said}` }, body }],
      Array.from({ length: 3 }, () => ({ stallAfter: 0 })),
      [{ cutAfter: 1 }],
    ]
    for (const tries of faults) {
      upstream.faults.push(...tries)
      await expectError(client.query(name, said))
      upstream.faults.length = 0
      // Most of the time it is well, or it would be left alone.
      for (let n = 0; n < tries.length + 1; n++) expect((await client.query('b', 'hi')).status).toBe(200)
    }

    // What a caller does wrong.
    await expectError(client.send('POST', '/query', `{"input":"${said}`))
    await expectError(client.query('a', said.repeat(5_000)))
    await expectError(client.send('POST', '/query', { input: [said], client_name: 'a' }))
    await expectError(
      client.send('POST', '/query', { input: 'a', client_name: 'a', [said]: 1, temperature: said }),
    )
    await expectError(client.send('GET', `/history?client_name=${said}%FF`))
    await expectError(client.send('GET', `/no/${said}?${said}`))
    await expectError(clientOf(server.url, { 'x-api-key': `${key}x` }).history(said))
    await expectError(clientOf(server.url, { authorization: `Bearer ${canaries.operator}x` }).history(said))
    await expectError(client.send('GET', '/admin/keys'))
    await expectError(client.send('POST', `${path}/items/${said}/pin`))

    // What becomes of turns, and what is erased.
    upstream.faults.push({ say: canaries.answer, stallAfter: 1 })
    const before = upstream.journal.length
    const running = await client.query(name, said, { background: true })
    await upstream.arrived(before + 1)
    expect((await client.send('POST', `/turns/${running.body.id}/cancel`)).status).toBe(200)
    await client.history(name)
    await client.send('GET', `${path}/context`)
    await client.send('POST', `${path}/compact`, { keep_turns: 1 })
    await client.clear(name)
    expect((await client.send('DELETE', path)).status).toBe(200)
    expect((await operator.send('DELETE', `/admin/keys/${made.body.id}`)).status).toBe(200)

    // A database that goes away.
    if (data['DATABASE_URL'] !== undefined) {
      await postgres.stop()
      await expectError(operator.query(name, said))
      await postgres.start()
      await expect
        .poll(async () => (await operator.send('GET', '/readyz')).status, { timeout: 10_000 })
        .toBe(200)
    }

    told.push((await operator.send('GET', '/openapi.json')).text)
    const metrics = await fetch(`${server.url}/metrics`, {
      headers: { authorization: `Bearer ${canaries.operator}` },
    })
    told.push(await metrics.text())
    expect(told.at(-1)).toContain('daehwa_turns_total')
    expect(await server.end('SIGTERM')).toBe(0)
    expect(collector.spans.length).toBeGreaterThan(20)
    expect(server.output().split('\n').length).toBeGreaterThan(20)
    told.push(server.output(), ...collector.raw)
    for (const text of told) {
      for (const secret of [...Object.values(canaries), ...passwords, key, key.slice(-30)])
        expect(text).not.toContain(secret)
    }
  },
  30_000,
)
