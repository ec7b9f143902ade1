import { cpSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { KeyLimits } from '../../src/conversation/access/limits.ts'
import { all } from '../../src/storage/database.ts'
import { Journal } from '../../src/storage/journal/journal.ts'
import { journaledStore } from '../../src/storage/journal/journaled-store.ts'
import { migrate } from '../../src/storage/migrations/migrate.ts'
import { openStorage } from '../../src/storage/open-storage.ts'
import { sqlStore } from '../../src/storage/sql-store.ts'
import { SqliteDatabase } from '../../src/storage/sqlite.ts'
import { temporaryDir } from '../support/start-server.ts'
import { chance, numbered, type Open, step } from './ask-both.ts'
import { answer, begin, commit, finish, turn } from './samples.ts'

/** The same asked of a store that has a journal, of at `most` so many letters, and of one that writes into the tables at once. */
async function both(most: number) {
  const dirs = { journaled: temporaryDir(), plain: temporaryDir() }
  const [database, plain] = [dirs.journaled, dirs.plain].map((dir) => new SqliteDatabase(dir, 'normal')) as [
    SqliteDatabase,
    SqliteDatabase,
  ]
  for (const one of [database, plain]) await migrate(one, 1)
  const journal = new Journal({ most })
  database.accompany(journal)
  const stores = [journaledStore(sqlStore(database), database, journal), sqlStore(plain)] as const
  let isOpen = true
  const close = async () => {
    if (isOpen) await Promise.all([database.close(), plain.close()])
    isOpen = false
  }
  onTestFinished(close)
  return { stores, dirs, close, journal, database }
}

const tables = ['conversations', 'turns', 'items', 'usage', 'key_days']

/** All rows there are; ids that are drawn by chance are numbered as they come. */
function dump(dir: string): string {
  const db = new DatabaseSync(join(dir, 'daehwa.db'))
  const rows = tables.map((table) => {
    const order = { conversations: 'client_name', usage: '1, 2, 3, 4, 5', key_days: '1, 2' }[table]
    return db.prepare(`SELECT * FROM ${table} ORDER BY ${order ?? 'created_at, id'}`).all()
  })
  db.close()
  return numbered(rows)
}

const kim = { tenant: 'acme', client: 'kim' }

/** Never a turn, some turns, and all of them. */
const sizes = [0, 2_000, 1e6]

it.each(Array.from({ length: 60 }, (_, n) => [n + 1, sizes[n % 3] ?? 0]))(
  'says and keeps what the tables alone would, whatever is asked (%i, %i)',
  async (seed, most) => {
    const { stores, dirs, close } = await both(most)
    const draw = chance(seed)
    const open: Open[] = []
    for (let at = 1; at <= 80; at++) await step(stores, draw, at, open)
    await close()
    for (const dir of Object.values(dirs)) await reopened(dir)
    expect(dump(dirs.journaled)).toBe(dump(dirs.plain))
  },
)

it.each(Array.from({ length: 45 }, (_, n) => [n + 101, sizes[n % 3] ?? 0]))(
  'finds all of it after a kill at any moment (%i, %i)',
  async (seed, most) => {
    const { stores, dirs } = await both(most)
    const draw = chance(seed)
    const open: Open[] = []
    for (let at = 1; at <= 60; at++) {
      await step(stores, draw, at, open)
      if (draw(4) > 0) continue
      const killed = { journaled: temporaryDir(), plain: temporaryDir() }
      for (const side of ['journaled', 'plain'] as const) {
        cpSync(dirs[side], killed[side], { recursive: true })
        await reopened(killed[side])
      }
      expect(dump(killed.journaled)).toBe(dump(killed.plain))
    }
  },
)

it('holds nothing of what is cleared in the moment in which it is answered', async () => {
  const { stores, dirs, close } = await both(1e6)
  await finish(stores[0], kim, 'first', 'answer')
  const claim = await begin(stores[0], turn(kim, 'a secret', 3))
  await Promise.all([commit(stores[0], claim, answer('another secret', 4)), stores[0].clear(kim, 5)])
  await stores[0].scrub()
  await close()
  for (const file of readdirSync(dirs.journaled))
    expect(readFileSync(join(dirs.journaled, file)).includes('secret')).toBe(false)
})

it('keeps the turn that is being answered when older ones of its conversation have gone to the tables', async () => {
  const { stores, dirs, database } = await both(500)
  for (const at of [1, 3]) await finish(stores[0], kim, 'q', 'a', { at, answeredAt: at + 1 })
  const { turnId } = await begin(stores[0], turn(kim, 'q', 5))
  const inTables = await database.read(() => all<{ status: string }>('SELECT status FROM turns'))
  expect(inTables.map(({ status }) => status)).toEqual(['completed', 'completed'])
  const killed = temporaryDir()
  cpSync(dirs.journaled, killed, { recursive: true })
  await using storage = await openStorage({ dir: killed, durability: 'normal', now: 1 })
  expect(await storage.store.turn('acme', turnId)).toMatchObject({ status: 'in_progress' })
})

it('has no row left when all is put, of what has just come neither', async () => {
  const { stores, journal, database } = await both(1e6)
  await finish(stores[0], kim, 'q', 'a') // the first one makes the client, which is for the tables
  const claim = await begin(stores[0], turn(kim, 'q', 3))
  await Promise.all([commit(stores[0], claim, answer('a')), database.write(() => journal.putAll())])
  expect(await database.read(() => all('SELECT * FROM journal'))).toEqual([])
})

describe('limits', () => {
  const apiKey = 'key_1'
  const charged = { key: kim, apiKey, model: 'm', input: 2_500, output: 0, estimated: false, at: 4 }
  const wish = (limits: KeyLimits, at: number) => ({ ...turn(kim, 'q', at), apiKey, limits })

  it('count turns that came past the journal', async () => {
    const { stores } = await both(1e6)
    const [store] = stores
    await finish(store, kim, 'q', 'a')
    const claim = await begin(store, wish({ turns_at_once: 1 }, 3))
    await commit(store, claim, answer('a'))
    const other = { ...turn({ tenant: 'acme', client: 'lee' }, 'q'), apiKey }
    await store.accept({ ...other, idempotency: { key: 'k', fingerprint: 'f' } }, 9)
    await expect(store.accept(wish({ turns_at_once: 1 }, 5), 9)).rejects.toMatchObject({
      code: 'rate_limited',
    })
  })

  it.each(['tokens_per_day', 'tokens_per_month', 'client_tokens_per_day'] as const)(
    'count what is in the journal, and when it has gone to the tables: %s',
    async (limit) => {
      for (const goes of [false, true]) {
        for (const looks of [false, true]) {
          const { stores, journal, database } = await both(1e6)
          const [store] = stores
          await finish(store, kim, 'q', 'a')
          const limits = { [limit]: 3_000 }
          const claim = await begin(store, looks ? wish(limits, 3) : { ...turn(kim, 'q', 3), apiKey })
          await commit(store, claim, answer('a'), charged)
          if (goes) await database.write(() => journal.putSome())
          await expect(store.accept(wish(limits, 5), 9)).rejects.toMatchObject({ code: 'quota_exceeded' })
        }
      }
    },
  )
})

/** As a server does that starts and stops. */
async function reopened(dir: string): Promise<void> {
  const storage = await openStorage({ dir, durability: 'normal', now: 1 })
  await storage[Symbol.asyncDispose]()
}
