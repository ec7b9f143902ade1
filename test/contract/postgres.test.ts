import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { Client, DatabaseError } from 'pg'
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { all } from '../../src/storage/database.ts'
import { newestVersion } from '../../src/storage/migrations/migrate.ts'
import { PostgresDatabase } from '../../src/storage/postgres.ts'
import { storageError } from '../../src/storage/postgres-errors.ts'
import { startCommitProxy } from '../support/commit-proxy.ts'
import { historyOf } from '../support/history-of.ts'
import { localPostgres } from '../support/local-postgres.ts'
import { ask, open } from '../support/postgres-store.ts'
import { postgresForTests } from '../support/start-postgres.ts'
import { answer, begin, commit, contents, finish, someone, turn } from './samples.ts'
import { storeContract } from './store-contract.ts'

const postgres = postgresForTests()
let shared: string

beforeAll(async () => {
  shared = await postgres.newDatabase()
})

storeContract('Postgres', async () => {
  let storage = await open(shared)
  return {
    store: storage.store,
    shared: storage.shared,
    async reopen() {
      storage = await open(shared)
      return storage.store
    },
  }
})

describe('Postgres', () => {
  it('saw nobody wait in a circle in all that was done at once', async () => {
    const sql = 'SELECT deadlocks::int AS deadlocks FROM pg_stat_database WHERE datname = current_database()'
    expect(await ask(shared, sql)).toEqual([{ deadlocks: 0 }])
  })

  it('is brought up to date once by many processes that start at once', async () => {
    const url = await postgres.newDatabase()
    const stores = await Promise.all(Array.from({ length: 6 }, () => open(url)))
    const versions = await ask<{ version: number }>(
      url,
      'SELECT version FROM schema_migrations ORDER BY version',
    )
    expect(versions.map(({ version }) => version)).toEqual(
      Array.from({ length: newestVersion }, (_, n) => n + 1),
    )
    const key = someone()
    for (const { store } of stores) await finish(store, key, 'q', 'a')
    expect(await historyOf(stores[0]?.store ?? never(), key)).toHaveLength(12)
  })

  it('is refused when a newer Daehwa wrote to it', async () => {
    const url = await postgres.newDatabase()
    await open(url)
    await ask(url, 'INSERT INTO schema_migrations VALUES (99, 1)')
    await expect(open(url)).rejects.toThrow(/schema version 99.+Start the newer Daehwa/)
  })

  it('sorts every text by its bytes', async () => {
    const others = await ask(
      shared,
      `SELECT table_name, column_name FROM information_schema.columns
       WHERE table_schema = 'public' AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'`,
    )
    expect(others).toEqual([])
  })

  it('in full durability has the log on its disk before it says so, whatever is its default', async () => {
    const url = await postgres.newDatabase()
    await ask(url, `ALTER ROLE CURRENT_USER SET synchronous_commit = off`)
    onTestFinished(async () => void (await ask(url, 'ALTER ROLE CURRENT_USER RESET synchronous_commit')))
    for (const [durability, level] of [
      ['full', 'on'],
      ['normal', 'off'],
    ] as const) {
      const database = new PostgresDatabase(url, durability)
      const rows = await database.read(() => all("SELECT current_setting('synchronous_commit') AS level"))
      await database.close()
      expect(rows).toEqual([{ level }])
    }
  })
})

it('the turns of a dead instance are taken over though it holds locks: all but those of what it has locked', async () => {
  const url = await postgres.newDatabase()
  const { store } = await open(url)
  for (const instance of ['hangs', 'lives']) await store.join(instance, 60_000)
  const [held, free] = [someone(), someone()].map((key) => ({ ...turn(key, 'q'), owner: 'hangs' }))
  if (held === undefined || free === undefined) return never()
  for (const one of [held, free]) await store.accept(one, undefined)
  const hanging = new Client(url)
  await hanging.connect()
  await hanging.query("BEGIN; UPDATE instances SET lease_until = lease_until WHERE id = 'hangs'")
  await hanging.query('UPDATE conversations SET updated_at = updated_at WHERE tenant = $1', [held.key.tenant])
  expect(await store.takeOver('lives', 5)).toEqual([])
  await hanging.query("UPDATE instances SET lease_until = 1 WHERE id = 'hangs'")
  await hanging.query('COMMIT; BEGIN')
  await hanging.query("UPDATE instances SET lease_until = lease_until WHERE id = 'hangs'")
  await hanging.query('UPDATE conversations SET updated_at = updated_at WHERE tenant = $1', [held.key.tenant])
  expect((await store.takeOver('lives', 5)).map(({ id }) => id)).toEqual([free.id])
  await hanging.end()
  await expect.poll(async () => (await store.takeOver('lives', 5)).map(({ id }) => id)).toEqual([held.id])
})

describe('a connection to Postgres', () => {
  const cutAll = (url: string) =>
    ask(url, 'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1', ['daehwa'])

  it('that is cut is replaced: what was under way is a storage_unavailable, what comes next works', async () => {
    const url = await postgres.newDatabase()
    const { store } = await open(url)
    const key = someone()
    const claim = await begin(store, turn(key, 'q'))
    for (let round = 0; round < 5; round++) {
      const writes = Array.from({ length: 40 }, (_, n) => store.updateClient(someone(), {}, n))
      const settled = Promise.allSettled([...writes, store.ping(), store.turn('a', 'b')])
      await cutAll(url)
      for (const one of await settled) {
        if (one.status === 'rejected')
          expect(one.reason).toMatchObject({ code: 'storage_unavailable', retryAfter: 1 })
      }
      await expect.poll(() => store.ping().then(() => 'there'), { timeout: 5_000 }).toBe('there')
    }
    expect(await commit(store, claim, answer('a'))).toBe(true)
    expect(contents(await historyOf(store, key))).toEqual(['q', 'a'])
  })

  it('that is cut before the answer to a COMMIT: what was committed counts as such', async () => {
    const proxy = await startCommitProxy(await postgres.newDatabase())
    const { store } = await open(proxy.url)
    const key = someone()
    proxy.fault = 'answer lost'
    const claim = await begin(store, turn(key, 'q'))
    proxy.fault = 'answer lost'
    expect(await commit(store, claim, answer('a'))).toBe(true)
    expect(proxy.fault).toBeUndefined()
    expect(contents(await historyOf(store, key))).toEqual(['q', 'a'])
  })

  it('that is cut before a COMMIT arrives: nothing is kept, and it is said', async () => {
    const proxy = await startCommitProxy(await postgres.newDatabase())
    const { store } = await open(proxy.url)
    const lost = turn(someone(), 'q')
    proxy.fault = 'lost'
    await expect(store.accept(lost, 9)).rejects.toMatchObject({ code: 'storage_unavailable' })
    expect(await store.turn(lost.key.tenant, lost.id)).toBeUndefined()
    expect((await store.settings(lost.key)).client).toBeUndefined()
    await begin(store, lost)
  })

  it('that never answers is given up, and the line for the operator has no password', async () => {
    const silent = createServer(() => {}).listen(0, '127.0.0.1')
    await once(silent, 'listening')
    onTestFinished(() => void silent.close())
    const { port } = silent.address() as AddressInfo
    const refused = await open(`postgres://me:hidden@127.0.0.1:${port}/db?password=hidden`).catch(
      (error) => error,
    )
    expect(refused.message).toBe(
      `the database postgres://me@127.0.0.1:${port}/db cannot be used (Connection terminated due to connection timeout). Check DATABASE_URL`,
    )
  })

  it.each([
    [
      'a wrong password',
      (url: string) => url.replace(/:secret-\w+/, ':hidden'),
      'password authentication failed',
    ],
    ['no such database', (url: string) => `${url}_not`, /database "daehwa_\d+_not" does not exist/],
    [
      'nobody there',
      (url: string) => url.replace(/@[^/]+/, '@127.0.0.1:1'),
      'connect ECONNREFUSED 127.0.0.1:1',
    ],
  ])('is refused in one line: %s', async (_, spoil, reason) => {
    const refused = await open(spoil(shared)).catch((error) => error)
    expect(refused).toMatchObject({ name: 'OpenError' })
    expect(refused.message).toMatch(reason)
    expect(refused.message).toMatch(/^the database postgres:\/\/daehwa@127\.0\.0\.1:.+Check DATABASE_URL$/)
    expect(refused.message).not.toMatch(/secret-|hidden/)
  })

  it('is refused where texts could not be kept', async () => {
    const url = await postgres.newDatabase()
    const sql = "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0"
    await ask(url, sql)
    await expect(open(postgres.url('latin'))).rejects.toThrow(
      "its encoding is LATIN1: CREATE DATABASE … ENCODING 'UTF8'",
    )
  })

  it.each([
    ['53100', 'storage_full'],
    ['53300', 'storage_unavailable'],
    ['57P01', 'storage_unavailable'],
    ['57014', 'storage_unavailable'],
    ['25006', 'storage_unavailable'],
    ['22021', '22021'],
  ])('that says %s means %s', (code, ours) => {
    const error = Object.assign(new DatabaseError('', 0, 'error'), { code })
    expect(storageError(error)).toMatchObject({ code: ours })
  })

  it('to a server that took over, or back to one that was left, counts as another one', async () => {
    const other = localPostgres(['fsync=off'])
    onTestFinished(other.remove)
    await other.create()
    const own = new URL(await postgres.newDatabase())
    await ask(other.url('postgres'), `ALTER ROLE ${own.username} PASSWORD '${own.password}'`)
    const link = await startSwitch(Number(own.port))
    const storage = await open(Object.assign(new URL(own), { port: `${link.port}` }).href)
    const met = () => storage.store.ping().then(storage.servers, () => 'nobody answers')
    await Promise.all(Array.from({ length: 20 }, () => storage.store.ping()))
    expect(storage.servers()).toBe(1)

    await ask(
      Object.assign(new URL(other.url('postgres')), { password: own.password }).href,
      `CREATE DATABASE ${own.pathname.slice(1)}`,
    )
    link.to(Number(new URL(other.url('')).port))
    await expect.poll(met).toBe(2)
    link.to(Number(own.port))
    await expect.poll(met).toBe(3)
  })

  it('that was started anew counts as another server, for it may be one', async () => {
    const storage = await open(await postgres.newDatabase())
    await storage.store.ping()
    await postgres.stop()
    await postgres.start()
    await expect.poll(() => storage.store.ping().then(storage.servers, () => 'nobody answers')).toBe(2)
  })
})

/** A TCP proxy to one port after the other; what was connected before is cut. */
async function startSwitch(first: number) {
  const sockets = new Set<Socket>()
  let target = first
  const server = createServer((caller) => {
    const database = connect(target, '127.0.0.1')
    for (const socket of [caller, database]) sockets.add(socket.on('error', () => {}))
    caller.pipe(database).pipe(caller)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cut = () => {
    for (const socket of sockets) socket.destroy()
    sockets.clear()
  }
  onTestFinished(() => {
    cut()
    server.close()
  })
  const to = (port: number) => {
    target = port
    cut()
  }
  return { port: (server.address() as AddressInfo).port, to }
}

function never(): never {
  throw new Error('this cannot be')
}
