import { cpSync } from 'node:fs'
import { StatementSync } from 'node:sqlite'
import { afterEach, describe, expect, it, onTestFinished } from 'vitest'
import type { Store } from '../../src/conversation/store.ts'
import { all as rows, run } from '../../src/storage/database.ts'
import { Journal } from '../../src/storage/journal/journal.ts'
import { journaledStore } from '../../src/storage/journal/journaled-store.ts'
import { migrate } from '../../src/storage/migrations/migrate.ts'
import { openStorage } from '../../src/storage/open-storage.ts'
import { sqlStore } from '../../src/storage/sql-store.ts'
import { SqliteDatabase } from '../../src/storage/sqlite.ts'
import { temporaryDir } from '../support/start-server.ts'
import { answer, begin, commit, contents, failure, finish, turn } from './samples.ts'

const kim = { tenant: 'acme', client: 'kim' }
const { all, run: write } = StatementSync.prototype
afterEach(() => {
  Object.assign(StatementSync.prototype, { all, run: write })
})

async function open() {
  const dir = temporaryDir()
  const database = new SqliteDatabase(dir, 'normal')
  await migrate(database, 1)
  const journal = new Journal()
  database.accompany(journal)
  onTestFinished(() => database.close())
  return { store: journaledStore(sqlStore(database), database, journal), dir, database, journal }
}

/** The first one makes the client, and goes to the tables; the others are in the journal. */
async function talk(store: Store, turns: number): Promise<string[]> {
  const said: string[] = []
  for (let n = 0; n < turns; n++) {
    await finish(store, kim, `q${n}`, `a${n}`, { at: 2 * n + 1, answeredAt: 2 * n + 2 })
    said.push(`q${n}`, `a${n}`)
  }
  return said
}

async function read(store: Store): Promise<string[]> {
  const found: string[] = []
  for await (const page of store.history(kim)) found.push(...contents(page))
  return found
}

async function afterKill<T>(dir: string, look: (store: Store) => Promise<T>): Promise<T> {
  const killed = temporaryDir()
  cpSync(dir, killed, { recursive: true })
  await using again = await openStorage({ dir: killed, durability: 'normal', now: 1 })
  return await look(again.store)
}

const full = () => Object.assign(new Error('full'), { code: 'ERR_SQLITE_ERROR', errcode: 13 })

/** One statement fails, and the transaction lives. */
function failOnce(begin: string): void {
  let left = 1
  StatementSync.prototype.all = function (this: StatementSync, ...values: unknown[]) {
    if (this.sourceSQL.startsWith(begin) && left-- > 0) throw full()
    return all.apply(this, values as Parameters<typeof all>)
  } as never
}

describe('nothing is lost, and what is refused does not happen,', () => {
  const late = { ...turn(kim, 'late', 50), idempotency: { key: 'k', fingerprint: 'f' } }

  it.each(['INSERT INTO items', 'INSERT INTO turns', 'UPDATE conversations'])(
    'when what comes before a change cannot be put into the tables (%s)',
    async (statement) => {
      const { store, dir } = await open()
      const said = await talk(store, 3)
      failOnce(statement)
      await expect(store.accept(late, 99)).rejects.toMatchObject({ code: 'storage_full' })
      expect(await afterKill(dir, read)).toEqual(said)
      expect(await afterKill(dir, (again) => again.turn('acme', late.id))).toBeUndefined()
      failOnce(statement)
      await expect(store.updateClient(kim, { model: 'x' }, 60)).rejects.toMatchObject({
        code: 'storage_full',
      })
      expect(await read(store)).toEqual(said)
      expect((await store.settings(kim)).client?.settings).toEqual({})
    },
  )

  it('when the rows cannot be read', async () => {
    const { store, dir, journal } = await open()
    const said = await talk(store, 3)
    journal.undone() // as after a transaction that was not kept
    failOnce('SELECT n, body FROM journal')
    await expect(store.accept(late, 99)).rejects.toMatchObject({ code: 'storage_full' })
    expect(await afterKill(dir, read)).toEqual(said)
    expect(await read(store)).toEqual(said)
  })

  it('when the rows cannot be dropped after all was put', async () => {
    const { store, database, journal } = await open()
    const said = await talk(store, 2)
    const claim = await begin(store, turn(kim, 'q2', 5))
    failOnce('DELETE FROM journal')
    const [kept] = await Promise.allSettled([
      commit(store, claim, answer('a2', 6)),
      database.write(() => journal.putAll()),
    ])
    expect(await read(store)).toEqual(kept.status === 'fulfilled' ? [...said, 'q2', 'a2'] : said)
  })
})

it('refuses to import a turn that is in the journal, and goes on for everybody', async () => {
  const { store, dir } = await open()
  const said = await talk(store, 1)
  const turnId = await finish(store, kim, 'q', 'a', { at: 3, answeredAt: 4 })
  const message = { id: 'msg_x', turnId, content: 'c', at: 1 }
  const archived = {
    question: { ...message, role: 'user' },
    answer: { ...message, id: 'msg_y', role: 'assistant', model: 'm' },
  } as const
  const lee = { tenant: 'acme', client: 'lee' }
  const id = await store.beginImport(lee, 5)
  await expect(store.keepImported(lee, id, 0, [archived], 5)).rejects.toMatchObject({
    code: 'history_exists',
  })
  expect(await read(store)).toEqual([...said, 'q', 'a'])
  expect(await afterKill(dir, read)).toEqual([...said, 'q', 'a'])
})

it('can be read while the disk is full, whoever tries to write in the same moment', async () => {
  const { store } = await open()
  await talk(store, 2)
  const { client } = await store.settings(kim)
  let wrote = false
  StatementSync.prototype.all = function (this: StatementSync, ...values: unknown[]) {
    wrote ||= this.sourceSQL.startsWith('INSERT')
    return all.apply(this, values as Parameters<typeof all>)
  } as never
  StatementSync.prototype.run = function (this: StatementSync) {
    if (this.sourceSQL === 'COMMIT' && wrote) throw full()
    if (this.sourceSQL.startsWith('BEGIN')) wrote = false
    return write.apply(this)
  } as never
  for (let n = 0; n < 3; n++) {
    const [written, settings, items] = await Promise.allSettled([
      store.accept(turn(kim, 'q', 5), 9),
      store.settings(kim),
      client && store.itemsFrom(client.state, 0),
    ])
    expect([written, settings, items].map(({ status }) => status)).toEqual([
      ...['rejected', 'fulfilled', 'fulfilled'],
    ])
  }
})

it('remembers no more clients than it may, however many are looked at', async () => {
  const { store, journal, database } = await open()
  await talk(store, 2) // one that the tables lack something of is the oldest
  const many = 12_000
  await database.write(function* () {
    const sql = `INSERT INTO conversations (tenant, id, client_name, created_at, updated_at) VALUES ('acme', ?, ?, 1, 1)`
    for (let n = 0; n < many; n++) yield* run(sql, `conv_${n}`, `c${n}`)
  })
  const names = Array.from({ length: many }, (_, n) => ({ tenant: 'acme', client: `c${n}` }))
  for (const name of names) await store.settings(name)
  const { heads } = journal.memory
  expect(names.filter((name) => heads.named(name)).length).toBeLessThanOrEqual(10_000)
})

it('does not write turns that are being answered again and again, however large they are together', async () => {
  const { store, database } = await open()
  const keys = Array.from({ length: 300 }, (_, n) => ({ tenant: 'acme', client: `c${n}` }))
  await Promise.all([...keys, kim].map((key) => finish(store, key, 'q', 'a')))
  const claims = await Promise.all(keys.map((key) => begin(store, turn(key, 'x'.repeat(30_000), 3))))
  for (let n = 0; n < 3; n++) await finish(store, kim, 'q', 'a', { at: 5, answeredAt: 6 })
  const sizes = await database.read(() =>
    rows<{ size: number }>('SELECT length(body) AS size FROM journal ORDER BY n DESC LIMIT 3'),
  )
  expect(Math.max(...sizes.map(({ size }) => size))).toBeLessThan(10_000)
  const answered = await Promise.all(claims.map((claim) => commit(store, claim, answer('a', 9))))
  expect(answered.every(Boolean)).toBe(true)
})

it("counts what a forgotten client's turn is charged for the client of the same name", async () => {
  const { store } = await open()
  const wish = (at: number) => ({
    ...turn(kim, 'q', at),
    ...{ apiKey: 'key_1', limits: { client_tokens_per_day: 3_000 } },
  })
  await talk(store, 1)
  const old = await begin(store, turn(kim, 'q', 3))
  await store.forget(kim, 4)
  await finish(store, kim, 'q', 'a', { at: 5, answeredAt: 6 })
  await commit(store, await begin(store, wish(7)), answer('a', 8))
  const charge = { key: kim, apiKey: 'key_1', model: 'm', input: 2_500, output: 0, estimated: true, at: 9 }
  await store.end(old, failure(old.turnId, 'history_deleted'), charge)
  await expect(store.accept(wish(10), 20)).rejects.toMatchObject({ code: 'quota_exceeded' })
})
