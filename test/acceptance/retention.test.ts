import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Client } from 'pg'
import { expect, it, onTestFinished, vi } from 'vitest'
import { Eraser } from '../../src/conversation/eraser.ts'
import { Retention } from '../../src/conversation/retention.ts'
import { openStorage } from '../../src/storage/open-storage.ts'
import { finish, someone } from '../contract/samples.ts'
import { clientOf } from '../support/client.ts'
import { startCluster } from '../support/start-cluster.ts'
import { postgresForTests } from '../support/start-postgres.ts'
import { type RunningServer, runToEnd, startServer, temporaryDir } from '../support/start-server.ts'

const postgres = postgresForTests()
const databases = ['SQLite', 'Postgres'] as const
const day = 24 * 60 * 60 * 1000
const canary = 'canary-long-ago'

/** Data of one server after another. */
async function place(database: string) {
  const dataDir = temporaryDir()
  const url = database === 'Postgres' ? await postgres.newDatabase() : undefined
  const env = url === undefined ? {} : { DATABASE_URL: url }
  const pg = new Client(url)
  if (url !== undefined) {
    await pg.connect()
    onTestFinished(() => pg.end())
  }
  return {
    start: (more = {}) => startServer({ dataDir, env: { ...env, ...more } }),
    /** Makes a client as if nothing had happened to it for so many days. No server may run on SQLite. */
    async age(name: string, days: number): Promise<void> {
      const sql = `UPDATE conversations SET updated_at = updated_at - ${days * day} WHERE client_name = '${name}'`
      if (url !== undefined) await pg.query(sql)
      else {
        using db = new DatabaseSync(join(dataDir, 'daehwa.db'))
        db.exec(sql)
      }
    },
    /** Where it is still written what was said: files of SQLite, tables of Postgres. */
    async hits(): Promise<string[]> {
      if (url === undefined)
        return readdirSync(dataDir).filter((file) => readFileSync(join(dataDir, file)).includes(canary))
      const { rows } = await pg.query("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'")
      const found: string[] = []
      for (const { name } of rows) {
        const sql = `SELECT count(*)::int AS count FROM ${name} t WHERE t::text LIKE '%${canary}%'`
        if ((await pg.query(sql)).rows[0].count > 0) found.push(name)
      }
      return found
    },
  }
}

const names = async ({ url }: RunningServer): Promise<string[]> =>
  (await clientOf(url).send('GET', '/clients')).body.clients
    .map(({ client_name }: { client_name: string }) => client_name)
    .toSorted()

it.each(databases)(
  'promise 38: clients that were inactive for too long are erased, and nothing is left of what they said, on %s',
  async (database) => {
    const { start, age, hits } = await place(database)
    const first = await start()
    const client = clientOf(first.url)
    for (const name of ['old', 'recent', 'own-long', 'own-short'])
      expect((await client.query(name, `${canary} ${name}`, { instructions: canary })).status).toBe(200)
    await client.send('PATCH', '/clients/only-settings', { instructions: canary })
    await client.send('PATCH', '/clients/own-long', { retention_days: 400 })
    const own = await client.send('PATCH', '/clients/own-short', {
      retention_days: 2,
      metadata: { a: canary },
    })
    expect(own.body.settings).toEqual({ retention_days: 2, metadata: { a: canary } })
    await first.end('SIGTERM')
    for (const [name, days] of [
      ['old', 31],
      ['recent', 29],
      ['own-long', 399],
      ['own-short', 3],
      ['only-settings', 40],
    ] as const)
      await age(name, days)

    const without = await start()
    await expect.poll(async () => names(without)).toEqual(['old', 'only-settings', 'own-long', 'recent'])
    await without.end('SIGTERM')

    const second = await start({ DAEHWA_RETENTION_DAYS: '30' })
    await expect.poll(() => names(second), { timeout: 5_000 }).toEqual(['own-long', 'recent'])
    await expect.poll(() => second.output()).toMatch(/"clients":2,"msg":"erased clients/)
    expect(second.output()).not.toMatch(/"old"|only-settings/)
    expect((await clientOf(second.url).history('old')).body).toEqual([])
    expect((await clientOf(second.url).history('recent')).body).toHaveLength(2)
    expect(await hits()).not.toEqual([])
    for (const name of ['recent', 'own-long']) await clientOf(second.url).send('DELETE', `/clients/${name}`)
    expect(await hits()).toEqual([])
    expect((await clientOf(second.url).query('old', 'again')).status).toBe(200)
  },
  30_000,
)

it.each(databases)(
  'the setting of a tenant counts before that of the server, on %s',
  async (database) => {
    const { start, age } = await place(database)
    const first = await start()
    await clientOf(first.url).query('a', 'hi')
    await clientOf(first.url).send('PATCH', '/defaults', { retention_days: 100 })
    await first.end('SIGTERM')
    await age('a', 50)
    const second = await start({ DAEHWA_RETENTION_DAYS: '30' })
    expect(await names(second)).toEqual(['a'])
    await second.end('SIGTERM')
    await age('a', 51)
    const third = await start()
    await expect.poll(() => names(third), { timeout: 5_000 }).toEqual([])
  },
  30_000,
)

it('several instances erase each client once, and none that is being answered', async () => {
  const { servers, database, upstream, start } = await startCluster(postgres, 1)
  const client = clientOf(servers[0]?.url ?? '')
  await Promise.all(
    Array.from({ length: 250 }, (_, n) => client.send('PATCH', `/clients/c${n}`, { top_p: 1 })),
  )
  upstream.faults.push({ stallAfter: 1 })
  const turn = await client.query('busy', 'hi', { background: true })
  await upstream.arrived(1)
  const pg = new Client(database)
  await pg.connect()
  await pg.query(`UPDATE conversations SET updated_at = updated_at - ${60 * day}`)
  await pg.end()
  const others = await Promise.all([1, 2, 3].map(() => start({ DAEHWA_RETENTION_DAYS: '30' })))
  await expect
    .poll(async () => (await client.send('GET', '/clients?limit=100')).body.clients, { timeout: 10_000 })
    .toHaveLength(1)
  const erased = () =>
    others.reduce(
      (sum, { output }) => sum + Number(/"clients":(\d+),"msg":"erased/.exec(output())?.[1] ?? 0),
      0,
    )
  await expect.poll(erased).toBe(250)
  expect((await client.send('GET', `/turns/${turn.body.id}`)).body.status).toBe('in_progress')
  expect((await client.send('POST', `/turns/${turn.body.id}/cancel`)).body.status).toBe('cancelled')
}, 30_000)

it('looks again every hour', async () => {
  const storage = await openStorage({ dir: temporaryDir(), durability: 'normal', now: 1 })
  onTestFinished(() => storage[Symbol.asyncDispose]())
  const { store } = storage
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  onTestFinished(() => void vi.useRealTimers())
  const log = { info: vi.fn(), warn: vi.fn(), error: vi.fn() }
  const eraser = new Eraser({ store, now: Date.now, log, compactor: { cancel() {} } }, () => {})
  const retention = new Retention({ store, eraser, retentionDays: 1, log })
  const key = someone()
  const there = async () => (await store.settings(key)).client !== undefined
  const looks = vi.spyOn(store, 'tenantAfter')
  retention.start()
  await expect.poll(() => looks.mock.results.length).toBe(1)
  await finish(store, key, 'q', 'a', { at: 1, answeredAt: 2 })
  vi.advanceTimersByTime(59 * 60 * 1000)
  expect(await there()).toBe(true)
  vi.advanceTimersByTime(60 * 1000)
  await expect.poll(there).toBe(false)
  expect(log.info.mock.calls).toEqual([[{ clients: 1 }, expect.stringContaining('inactive')]])
  await retention.stop()
  await finish(store, key, 'q', 'a', { at: 1, answeredAt: 2 })
  vi.advanceTimersByTime(2 * 60 * 60 * 1000)
  expect(await there()).toBe(true)
})

it('says what is no number of days', async () => {
  const { code, output } = await runToEnd({ env: { DAEHWA_RETENTION_DAYS: '0' } })
  expect([code, output]).toEqual([1, expect.stringContaining('DAEHWA_RETENTION_DAYS')])
  const { url } = await startServer()
  const reply = await clientOf(url).send('PATCH', '/clients/a', { retention_days: 0.5 })
  expect([reply.status, reply.body.error]).toEqual([400, expect.stringContaining('retention_days')])
})
