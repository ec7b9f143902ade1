import { randomUUID } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { clientOf, type Reply } from '../support/client.ts'
import { checkHistory, type Operation } from '../support/history-checker.ts'
import { postgresForTests } from '../support/start-postgres.ts'
import { type RunningServer, runToEnd, startServer } from '../support/start-server.ts'
import { startTranscriptUpstream } from '../support/transcript-upstream.ts'

const postgres = postgresForTests()

async function start(more: Readonly<Record<string, string>> = {}) {
  const upstream = await startTranscriptUpstream()
  const env = {
    OPENAI_BASE_URL: upstream.baseUrl,
    DATABASE_URL: await postgres.newDatabase(),
    DAEHWA_CONTEXT_WINDOW: '1000000', // so that every answer tells of all that came before it
    ...more,
  }
  return { upstream, env, server: await startServer({ env }) }
}

const keepsSecret = ({ output }: RunningServer) => expect(output()).not.toContain(postgres.password)

it('six messages survive kill -9 in Postgres, in order and with their times, and no file holds any', async () => {
  const { server, env } = await start()
  const client = clientOf(server.url)
  for (const input of ['하나', '둘', '셋']) expect((await client.query('민수', input)).status).toBe(200)
  await client.setModel('민수', 'other')
  const before = await client.history('민수')
  await server.end('SIGKILL')

  const second = await startServer({ env })
  const { body } = await clientOf(second.url).history('민수')
  expect(body).toEqual(before.body)
  expect(body.map(({ role }: { role: string }) => role)).toEqual(Array(3).fill(['user', 'assistant']).flat())
  expect([0, 2, 4].map((i) => body[i].content)).toEqual(['하나', '둘', '셋'])
  expect((await clientOf(second.url).model('민수')).body).toEqual({ model: 'other' })
  expect(readdirSync(second.dataDir)).toEqual([])
  expect(await second.end('SIGTERM')).toBe(0)
  await expect.poll(second.output).toMatch(/"data":"postgres:\/\/daehwa@127\.0\.0\.1:\d+\/daehwa_\d+"/)
  for (const one of [server, second]) keepsSecret(one)
})

it('one Idempotency-Key is one message across kill -9 over Postgres', async () => {
  const { server, env, upstream } = await start({ DAEHWA_LEASE_MS: '4000' })
  const keyed = (url: string) => clientOf(url, { 'idempotency-key': 'key-1' })
  upstream.faults.push({ delay: 200 })
  const all = await Promise.all(Array.from({ length: 20 }, () => keyed(server.url).query('민수', 'once')))
  expect(new Set(all.map(({ status, text }) => `${status} ${text}`)).size).toBe(1)
  upstream.faults.push({ stallAfter: 1 })
  const cut = await clientOf(server.url, { 'idempotency-key': 'key-2' }).query('민수', 'cut', {
    background: true,
  })
  await upstream.arrived(2)
  await server.end('SIGKILL')

  const { url } = await startServer({ env })
  const later = await keyed(url).query('민수', 'once')
  expect([later.text, later.headers.get('idempotency-replayed')]).toEqual([all[0]?.text, 'true'])
  expect((await keyed(url).query('민수', 'another')).status).toBe(422)
  const statusOf = async () => (await clientOf(url).send('GET', `/turns/${cut.body.id}`)).body.status
  await expect.poll(statusOf, { timeout: 10_000 }).toBe('failed') // when the lease of the dead one is over
  const again = await clientOf(url, { 'idempotency-key': 'key-2' }).query('민수', 'cut', { background: true })
  expect(again.body.id).toBe(cut.body.id)
  await expect.poll(async () => (await clientOf(url).history('민수')).body.length).toBe(4)
  expect(upstream.journal).toHaveLength(3)
})

/** Asks without pause until it is told to stop, and notes what it was told. */
async function work(
  url: string,
  name: string,
  operations: Operation[],
  signal: AbortSignal,
): Promise<Reply[]> {
  const replies: Reply[] = []
  while (!signal.aborted) {
    const input = `${name} ${randomUUID()}`
    const reply = await clientOf(url).query(name, input)
    replies.push(reply)
    operations.push({ kind: 'query', input, answer: reply.status === 200 ? reply.body.response : undefined })
    if (reply.status !== 200) await wait(20)
  }
  return replies
}

it('promise 3: Postgres is stopped and started under load: 200 or 503, and what was answered is there once', async () => {
  const whole = { DAEHWA_CONTEXT_WINDOW: '1000000' } // nothing is left out: the checker compares whole contexts
  const { server, upstream } = await start(whole)
  const names = Array.from({ length: 6 }, (_, n) => `client ${n}`)
  const told = new Map(names.map((name) => [name, [] as Operation[]]))
  const done = new AbortController()
  const working = names.map((name) => work(server.url, name, told.get(name) ?? [], done.signal))
  const client = clientOf(server.url)
  for (let stop = 0; stop < 3; stop++) {
    await wait(400 + Math.random() * 300)
    await postgres.stop()
    const away = await client.send('GET', '/readyz')
    expect([away.status, away.body.code]).toEqual([503, 'storage_unavailable'])
    expect((await client.send('GET', '/healthz')).status).toBe(200)
    await wait(Math.random() * 800)
    await postgres.start()
    await expect.poll(async () => (await client.send('GET', '/readyz')).status, { timeout: 5_000 }).toBe(200)
  }
  await wait(500)
  done.abort()
  const replies = (await Promise.all(working)).flat()
  for (const { status, body, headers } of replies.filter((reply) => reply.status !== 200)) {
    expect([status, body.code]).toEqual([503, 'storage_unavailable'])
    expect(headers.get('retry-after')).toBe('1')
  }
  expect(replies.filter(({ status }) => status === 200).length).toBeGreaterThan(50)
  expect(replies.filter(({ status }) => status === 503).length).toBeGreaterThan(3)
  for (const name of names) {
    const last = await client.query(name, `${name} last`)
    const operations = told.get(name) ?? []
    operations.push({ kind: 'query', input: `${name} last`, answer: last.body.response })
    const asked = upstream.journal.map(({ messages }) => messages.at(-1)?.content ?? '')
    const history = (await client.history(name)).body
    expect(checkHistory({ operations, history, asked, retries: 2 })).toEqual([])
  }
  expect(await server.end('SIGTERM')).toBe(0)
  keepsSecret(server)
})

it('what cannot be kept as it is gets the very answer that SQLite gives', async () => {
  const { server, env } = await start()
  const sqlite = await startServer({ env: { OPENAI_BASE_URL: env.OPENAI_BASE_URL } })
  const cursor = (place: unknown) => Buffer.from(JSON.stringify(place)).toString('base64url')
  const odd = (client: ReturnType<typeof clientOf>) => [
    () => client.query('a', 'nul \0'),
    () => client.query('a', 'half \ud800'),
    () => client.query('a\0', 'name'),
    () => client.query('a', 'x', { instructions: '\0' }),
    () => client.query('a', 'x', { model: 'm\0' }),
    () => client.query('a', 'x', { idempotency_key: '\0' }),
    () => client.send('PATCH', '/clients/a', { metadata: { '\0': 'x' } }),
    () => client.send('GET', '/clients?prefix=%00'),
    () => client.send('GET', `/clients?cursor=${cursor([1.5, 'a'])}`),
    () => client.send('GET', `/clients?cursor=${cursor([1e300, 'a'])}`),
    () => client.send('GET', `/clients?cursor=${cursor([5, '\ud800'])}`),
    () => client.send('GET', '/turns/resp_%00'),
    () => client.send('GET', '/turns/%F0%9F%98%80'),
    () => client.send('POST', '/turns/resp_%00/cancel'),
    () => client.send('GET', '/clients/a%00'),
    () => client.history('a', '&before=%00'),
    () => client.history('a', '&before=resp_none'),
    () => client.history('a', '&limit=10000'),
    () => client.send('POST', '/clients/a/items/msg_%00/pin'),
    () => client.send('DELETE', '/clients/a/items/none/pin'),
  ]
  const asked = odd(clientOf(server.url))
  for (const [n, onSqlite] of odd(clientOf(sqlite.url)).entries()) {
    const [here, there] = [await asked[n]?.(), await onSqlite()]
    const plain = ({ status, body }: Reply) => ({ status, code: body.code, error: body.error })
    expect(plain(here as Reply), `${n}`).toEqual(plain(there))
    expect(there.status, `${n}`).toBeLessThan(500)
  }
})

it.each([
  [
    'postgres://me:hidden@127.0.0.1:1/db',
    /^daehwa: the database postgres:\/\/me@127\.0\.0\.1:1\/db cannot be used/,
  ],
  [
    'mysql://me:hidden@127.0.0.1/db',
    /^daehwa: DATABASE_URL must begin with postgres:\/\/ or postgresql:\/\//,
  ],
  ['postgres://me:hid/den@127.0.0.1/db', /^daehwa: DATABASE_URL is no address/],
])('does not start with %s: one line, without the password', async (url, line) => {
  const { code, output } = await runToEnd({ env: { DATABASE_URL: url } })
  expect(code).toBe(1)
  expect(output).toMatch(line)
  expect(output.trim()).not.toMatch(/\n|hidden|hid\/den/)
})
