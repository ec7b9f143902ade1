import { connect } from 'node:net'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { text as readAll } from 'node:stream/consumers'
import { Client as PostgresClient } from 'pg'
import { expect, it, onTestFinished } from 'vitest'
import { clientOf } from '../support/client.ts'
import { fill, smallDisk } from '../support/small-disk.ts'
import { startCollector } from '../support/start-collector.ts'
import { postgresForTests } from '../support/start-postgres.ts'
import { startRedis } from '../support/start-redis.ts'
import { type StartOptions, startServer } from '../support/start-server.ts'
import { type Fault, startTranscriptUpstream } from '../support/transcript-upstream.ts'

const postgres = postgresForTests()

/** Messages that quote a body quote some ten characters of it: so short a piece of a canary holds the word, too. */
const canary = (name: string) => `${'canar'.repeat(3)}-${name}`
const canaries = {
  operator: canary('operator'),
  upstream: canary('upstream'),
  collector: canary('collector'),
  name: canary('name'),
  said: canary('said'),
  answer: canary('answer'),
  thought: canary('thought'),
  instructions: canary('instructions'),
  metadata: canary('metadata'),
  once: canary('once'),
}
const { name, said, answer } = canaries
const path = `/clients/${name}`

interface Data {
  readonly env: Readonly<Record<string, string>>
  /** Takes away for a while what the server keeps its data in. */
  trouble?(meanwhile: () => Promise<void>): Promise<void>
}

const onSqlite = async (): Promise<Data> => ({ env: {} })

async function onPostgres(): Promise<Data> {
  const redis = await startRedis()
  return {
    env: { DATABASE_URL: await postgres.newDatabase(), REDIS_URL: redis.url },
    async trouble(meanwhile) {
      await redis.kill()
      await postgres.stop()
      await meanwhile()
      await postgres.start()
      await redis.start()
    },
  }
}

/** A server that knows all canaries which an operator sets, and what it and others tell. */
async function start({ env }: Data, options: StartOptions = {}) {
  const [upstream, collector] = [await startTranscriptUpstream(), await startCollector()]
  const server = await startServer({
    ...options,
    env: {
      ...env,
      OPENAI_BASE_URL: upstream.baseUrl,
      OPENAI_API_KEY: canaries.upstream,
      DAEHWA_API_KEY: canaries.operator,
      DAEHWA_LOG_LEVEL: 'trace',
      DAEHWA_FIRST_TOKEN_TIMEOUT_MS: '300',
      DAEHWA_CONTEXT_WINDOW: '8192',
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_EXPORTER_OTLP_HEADERS: `authorization=Bearer%20${canaries.collector}`,
      ...options.env,
    },
  })
  const operator = clientOf(server.url, { authorization: `Bearer ${canaries.operator}` })
  const secrets = Object.values(env).map((url) => new URL(url).password)
  /** What errors said. */
  const told: string[] = []
  const expectError = async (sent: Promise<{ status: number; text: string }>, status?: number) => {
    const reply = await sent
    if (status === undefined) expect(reply.status, reply.text).toBeGreaterThanOrEqual(400)
    else expect(reply.status, reply.text).toBe(status)
    told.push(reply.text)
  }
  return {
    ...{ upstream, collector, server, operator, secrets, told, expectError },
    /** Reads the metrics, ends the server, and searches all that was told. */
    async search() {
      told.push((await operator.send('GET', '/openapi.json')).text)
      const headers = { authorization: `Bearer ${canaries.operator}` }
      const page = await (await fetch(`${server.url}/metrics`, { headers })).text()
      expect(page).toContain('daehwa_turns_total')
      expect(await server.end('SIGTERM')).toBe(0)
      expect(collector.spans.length).toBeGreaterThan(3)
      expect(server.output().split('\n').length).toBeGreaterThan(3)
      for (const text of [...told, page, server.output(), ...collector.raw]) {
        expect(text.match(/.{0,80}canar.{0,80}/gi) ?? []).toEqual([])
        for (const secret of secrets) expect(text).not.toContain(secret)
      }
    },
  }
}

/** Sends bytes as they are, and reads what comes until the end. */
async function raw(url: string, bytes: string) {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  onTestFinished(() => void socket.destroy())
  socket.end(bytes)
  const text = await readAll(socket)
  return { status: Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1]), text }
}

/** Every way in which an upstream fails, quoting what it was sent. */
const faults: Fault[][] = [
  [`${said} ${canaries.upstream}`, canaries.upstream].flatMap((quoted) =>
    [400, 401, 402, 403, 404, 408, 413, 418, 422, 429, 500, 503, 504].map((status) => ({
      ...{ status, headers: { 'retry-after': quoted, [canaries.upstream]: said } },
      body: JSON.stringify({ error: { message: quoted, code: quoted, type: quoted, param: quoted } }),
    })),
  ),
  [
    { error: { message: said, code: canaries.upstream } },
    said,
    { choices: [{ delta: { content: 1 }, said }] },
  ].map((data) => ({ data: [JSON.stringify(data)] })),
  [`{"choices":[{"delta":{"content":"${answer}`, answer, `{"a":\n    at ${said} (${said})\n${said}}`].map(
    (data) => ({
      data: [data],
    }),
  ),
  [{ status: 200, body: answer, headers: { 'content-type': 'text/html' } }],
  [{ status: 200, body: `{"choices":[{"message":{"content":"${answer}`, whole: true }],
  [{ status: 302, headers: { location: `http://127.0.0.1:9/${said}` }, body: said }],
  [{ stallAfter: 0 }],
  [{ say: `${answer} ${answer}`, cutAfter: 1 }],
  [{ say: answer, finishReason: null }],
].flatMap((kind) => kind.map((fault) => [fault, fault, fault]))

it.each([
  ['SQLite', 'trace', onSqlite],
  ['SQLite', 'debug', onSqlite],
  ['Postgres and Redis', 'trace', onPostgres],
  ['Postgres and Redis', 'debug', onPostgres],
] as const)(
  'promise 39: no key, no password and nothing that was said is told by logs, errors, metrics or traces, on %s at %s',
  async (_database, level, database) => {
    const data = await database()
    const { upstream, collector, server, operator, secrets, told, expectError, search } = await start(data, {
      env: { DAEHWA_LOG_LEVEL: level },
    })
    const made = await operator.send('POST', '/admin/keys', { tenant: 'acme' })
    const { key } = made.body as { key: string }
    secrets.push(key, key.slice(-30))
    const client = clientOf(server.url, { authorization: `Bearer ${key}` })

    const settings = { instructions: canaries.instructions, metadata: { note: canaries.metadata } }
    expect((await client.send('PATCH', path, settings)).status).toBe(200)
    const thinking = [
      `{"choices":[{"delta":{"reasoning_content":"${canaries.thought}"}}]}`,
      `{"choices":[{"delta":{"content":"${answer}"},"finish_reason":"stop"}]}`,
    ]
    for (const well of [
      { data: thinking },
      { say: answer, whole: true },
      { say: answer, byteByByte: true },
    ]) {
      upstream.faults.push(well)
      expect((await client.query(name, said)).body.response).toBe(answer)
    }
    const ask = (more: object, headers = {}) =>
      fetch(`${server.url}/query`, {
        ...{ method: 'POST', body: JSON.stringify({ client_name: name, input: said, ...more }) },
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...headers },
      }).then((reply) => reply.text())
    upstream.faults.push({ say: answer })
    expect(await ask({ stream: true }, { 'idempotency-key': canaries.once })).toContain(`"delta":"${answer}`)
    expect(upstream.journal.at(-1)?.headers.authorization).toBe(`Bearer ${canaries.upstream}`)
    expect(upstream.journal.at(-1)?.raw).toContain(canaries.instructions)

    const isWellAgain = async () => {
      // Most of the time it is well, or it would be left alone.
      for (let n = 0; n < 4; n++) expect((await client.query('b', 'hi')).status).toBe(200)
    }
    for (const tries of faults) {
      upstream.faults.push(...tries)
      await expectError(client.query(name, said))
      upstream.faults.length = 0
      await isWellAgain()
    }
    upstream.faults.push(
      ...Array.from({ length: 3 }, () => ({
        status: 500,
        body: `{"error":{"code":"${canaries.upstream}"}}`,
      })),
    )
    const failed = /^data: (\{"type":"response.failed".*)$/m.exec(await ask({ stream: true }))?.[1] ?? ''
    const { response } = JSON.parse(failed) as { response: { id: string; error: object } }
    const turn = await client.send('GET', `/turns/${response.id}`)
    expect(turn.body.error).toEqual(response.error)
    told.push(JSON.stringify(response.error))
    await upstream.stop()
    await expectError(client.query(name, said), 503)
    await upstream.startAgain()
    await isWellAgain()

    // What a caller does wrong.
    const bearer = `authorization: Bearer ${key}\r\n`
    for (const body of [
      `{"input":"${said}`,
      `{"input":\n    at ${said} (${said})`,
      `"${said}"`,
      `{"${said}":{"__proto__":1}}`,
    ])
      await expectError(client.send('POST', '/query', body), 400)
    await expectError(client.query('a', said.repeat(5_000)), 400)
    await expectError(client.query('a', said.repeat(100_000)), 413)
    await expectError(client.query(`${name}\u200b`, `${said}\ud800`), 400)
    await expectError(client.query('a', said, { model: 'none', [said]: 1, temperature: said }), 400)
    await expectError(client.send('POST', '/query', { input: [said], client_name: 'a' }), 400)
    await expectError(client.send('PATCH', path, { metadata: { [said]: [said] }, temperature: said }), 400)
    await expectError(client.send('GET', `/history?client_name=${said}%FF`), 400)
    await expectError(client.send('GET', `/no/${said}?${said}`), 404)
    await expectError(client.send('GET', `/turns/${said}`), 404)
    await expectError(client.send('GET', `/turns/${response.id}/events?after=${said}`), 400)
    await expectError(client.send('POST', `${path}/items/${said}/pin`), 404)
    await expectError(client.send('GET', `/usage?from=${said}`), 400)
    await expectError(client.send('GET', '/admin/keys'), 403)
    await expectError(operator.send('POST', '/admin/keys', { tenant: [said] }), 400)
    await expectError(operator.send('DELETE', `/admin/keys/${said}`), 404)
    await expectError(clientOf(server.url, { 'x-api-key': `${key}x` }).history(said), 401)
    await expectError(
      clientOf(server.url, { authorization: `Bearer ${canaries.operator}x` }).history(said),
      401,
    )
    await expectError(clientOf(server.url, { authorization: canaries.operator }).history(said), 401)
    const withHeader = (header: string, value: string) =>
      clientOf(server.url, { authorization: `Bearer ${key}`, [header]: value }).query(name, said)
    await expectError(withHeader('content-type', `text/${said}`), 415)
    await expectError(withHeader('origin', `https://${said}`), 403)
    for (const header of [
      'traceparent',
      'tracestate',
      'x-request-id',
      'user-agent',
      'cookie',
      'x-forwarded-for',
    ])
      expect((await withHeader(header, `${said} ${said}`)).status).toBe(200)
    await expectError(raw(server.url, `GET /${said} HTTP/1.1\r\n${said} ${said}\r\n\r\n`), 400)
    await expectError(
      raw(server.url, `GET /models HTTP/1.1\r\nhost: ${said}\r\n${bearer}connection: close\r\n\r\n`),
      421,
    )
    await raw(
      server.url,
      `POST /query HTTP/1.1\r\nhost: localhost\r\n${bearer}content-length: 99\r\n\r\n{"${said}`,
    )

    // What becomes of turns, and what is erased.
    upstream.faults.push({ say: `${answer} ${answer}`, stallAfter: 1 })
    let asked = upstream.journal.length
    const running = await client.query(name, said, { background: true })
    await upstream.arrived(asked + 1)
    expect((await client.send('POST', `/turns/${running.body.id}/cancel`)).status).toBe(200)
    expect((await client.history(name)).text).toContain(said)
    await client.send('GET', `${path}/context`)
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/x-ndjson' }
    const archive = await (await fetch(`${server.url}${path}/export`, { headers })).text()
    expect(archive).toContain(said)
    const archives = clientOf(server.url, headers)
    for (const wrong of [
      archive.slice(0, -20),
      archive.replaceAll(':', said),
      `${archive}\n    at ${said}`,
      said,
    ])
      await expectError(archives.send('POST', `/clients/${name}-2/import`, wrong), 400)
    await expectError(archives.send('POST', `${path}/import`, archive), 409)
    await client.send('POST', `${path}/compact`, { keep_turns: 1 })
    upstream.faults.push({ say: `${answer} ${answer}`, stallAfter: 1 })
    asked = upstream.journal.length
    const cut = client.query(name, said)
    await upstream.arrived(asked + 1)
    await client.clear(name)
    await expectError(cut, 410)
    expect((await client.send('DELETE', path)).status).toBe(200)
    expect((await archives.send('POST', `${path}/import`, archive)).status).toBe(200)
    expect((await client.send('DELETE', path)).status).toBe(200)
    if (data.trouble === undefined) {
      const authorization = `Bearer ${canaries.operator}`
      const backup = await fetch(`${server.url}/admin/backup`, { headers: { authorization } })
      expect([backup.status, (await backup.arrayBuffer()).byteLength > 0]).toEqual([200, true])
    }
    expect((await operator.send('DELETE', `/admin/keys/${made.body.id}`)).status).toBe(200)

    await data.trouble?.(() => expectError(operator.query(name, said), 503))
    await expect
      .poll(async () => (await operator.send('GET', '/readyz')).status, { timeout: 10_000 })
      .toBe(200)
    expect(collector.headers[0]?.authorization).toBe(`Bearer ${canaries.collector}`)
    await search()
  },
  60_000,
)

it('promise 39: so it is when the disk is full', async () => {
  const dataDir = smallDisk()
  const env = { DAEHWA_CONTEXT_WINDOW: '100000' }
  const { operator, expectError, search } = await start({ env: {} }, { dataDir, env })
  expect((await operator.query(name, said)).status).toBe(200)
  fill(dataDir)
  await expectError(operator.query(name, said.repeat(1_000), { instructions: canaries.instructions }), 507)
  await search()
})

/** What makes every new turn fail with an error that quotes it, in a line that looks like one of the stack. */
const quoting = {
  async SQLite(dataDir: string) {
    using database = new DatabaseSync(join(dataDir, 'daehwa.db'))
    database.exec(`CREATE TRIGGER quotes BEFORE INSERT ON turns BEGIN
      SELECT RAISE(ABORT, 'no' || char(10) || '    at ' || NEW.input); END`)
  },
  async Postgres(_dataDir: string, url = '') {
    const database = new PostgresClient(url)
    await database.connect()
    await database.query(`CREATE FUNCTION quotes() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN RAISE EXCEPTION E'no\\n    at %', NEW.input USING DETAIL = NEW.input; END $$`)
    await database.query(
      'CREATE TRIGGER quotes BEFORE INSERT ON turns FOR EACH ROW EXECUTE FUNCTION quotes()',
    )
    await database.end()
  },
}

it.each([
  ['SQLite', onSqlite],
  ['Postgres', onPostgres],
] as const)(
  'promise 39: so it is when the database refuses a row and quotes it, on %s',
  async (database, on) => {
    const data = await on()
    const { dataDir, end } = await startServer({ env: data.env })
    expect(await end('SIGTERM')).toBe(0)
    await quoting[database](dataDir, data.env['DATABASE_URL'])
    const { server, operator, expectError, search } = await start(data, { dataDir })
    for (let n = 0; n < 3; n++) await expectError(operator.query(name, said), 500)
    await expect.poll(server.output).toContain('"internal error"')
    await search()
  },
)
