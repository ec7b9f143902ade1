import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, it, onTestFinished } from 'vitest'
import { all, tuples } from '../../src/storage/database.ts'
import { type Dialect, sqlite } from '../../src/storage/dialects.ts'
import { conversations } from '../../src/storage/migrations/0001-conversations.ts'
import { lazyCounts } from '../../src/storage/migrations/0002-lazy-counts.ts'
import { clients } from '../../src/storage/migrations/0003-clients.ts'
import { safeCounts } from '../../src/storage/migrations/0004-safe-counts.ts'
import { erasedTurns } from '../../src/storage/migrations/0005-erased-turns.ts'
import { instances } from '../../src/storage/migrations/0006-instances.ts'
import { followedTurns } from '../../src/storage/migrations/0007-followed-turns.ts'
import { keys } from '../../src/storage/migrations/0008-keys.ts'
import { limitsAndUsage } from '../../src/storage/migrations/0009-limits-and-usage.ts'
import { retentionAndImports } from '../../src/storage/migrations/0010-retention-and-imports.ts'
import { journal } from '../../src/storage/migrations/0011-journal.ts'
import { turnsOutsideTheHistory } from '../../src/storage/migrations/0012-turns-outside-the-history.ts'
import { openStorage, type Storage } from '../../src/storage/open-storage.ts'
import { Statements } from '../../src/storage/sqlite-statements.ts'
import { temporaryDir } from '../support/start-server.ts'
import { someone } from './samples.ts'
import { storeContract } from './store-contract.ts'

for (const durability of ['full', 'normal'] as const) {
  storeContract(`SQLite, ${durability}`, async () => {
    const dir = temporaryDir()
    let storage: Storage = await openStorage({ dir, durability, now: 1 })
    onTestFinished(() => storage[Symbol.asyncDispose]())
    return {
      store: storage.store,
      shared: storage.shared,
      async reopen() {
        await storage[Symbol.asyncDispose]()
        storage = await openStorage({ dir, durability, now: 2 })
        return storage.store
      },
    }
  })
}

it('gives the rows of one query as objects and as arrays, as each asks for them', () => {
  const sql = 'SELECT 1 AS one'
  const both = new Statements(new DatabaseSync(':memory:')).run(function* () {
    return [yield* all(sql), yield* tuples(sql), yield* all(sql)]
  })
  expect(both).toEqual([[{ one: 1 }], [[1]], [{ one: 1 }]])
})

/** A database of an older Daehwa: after its first changes alone. */
function oldDatabase(dir: string, changes: readonly ((dialect: Dialect) => string[])[]): DatabaseSync {
  const raw = new DatabaseSync(join(dir, 'daehwa.db'))
  raw.exec('CREATE TABLE schema_migrations (version INTEGER PRIMARY KEY, applied_at BIGINT NOT NULL)')
  for (const [n, change] of changes.entries()) {
    for (const statement of change(sqlite)) raw.exec(statement)
    raw.exec(`INSERT INTO schema_migrations VALUES (${n + 1}, 1)`)
  }
  return raw
}

it('reads numbers of tokens that were kept before they had a limit', async () => {
  const dir = temporaryDir()
  const key = someone()
  const raw = oldDatabase(dir, [conversations, lazyCounts, clients])
  const id = 'resp_1'
  raw.exec(`INSERT INTO conversations (tenant, id, client_name, next_seq, created_at, updated_at, input_tokens, output_tokens)
    VALUES ('${key.tenant}', 'conv_1', '${key.client}', 1, 1, 1, ${2n ** 60n}, ${2n ** 53n})`)
  raw.exec(`INSERT INTO turns (tenant, id, conversation, epoch, place, status, model, input_tokens, usage_input, usage_output,
      usage_total, created_at)
    VALUES ('${key.tenant}', '${id}', 'conv_1', 0, 'a', 'completed', 'm', 1, 1, 1, ${2n ** 54n}, 1)`)
  raw.close()
  const { store, ...storage } = await openStorage({ dir, durability: 'normal', now: 2 })
  onTestFinished(() => storage[Symbol.asyncDispose]())
  const { client } = await store.settings(key)
  expect([client?.inputTokens, client?.outputTokens]).toEqual(Array(2).fill(Number.MAX_SAFE_INTEGER))
  expect((await store.turn(key.tenant, id))?.usage?.total_tokens).toBe(Number.MAX_SAFE_INTEGER)
})

it('keeps every turn and message, and every index, when they come to lie in the order of their writing', async () => {
  const dir = temporaryDir()
  const before = [
    ...[conversations, lazyCounts, clients, safeCounts, erasedTurns, instances, followedTurns, keys],
    ...[limitsAndUsage, retentionAndImports, journal, turnsOutsideTheHistory],
  ]
  const raw = oldDatabase(dir, before)
  // Every column has a value of its own, as far as its rule lets it.
  const fill = (table: string, n: number, fixed: Record<string, string | number>) => {
    const columns = raw.prepare(`SELECT name, type FROM pragma_table_info('${table}')`).all()
    const row = Object.fromEntries(
      columns.map(({ name, type }, at) => [
        `${name}`,
        fixed[`${name}`] ?? (type === 'TEXT' ? `${name} ${n}` : n * 100 + at),
      ]),
    )
    const names = Object.keys(row)
    raw
      .prepare(`INSERT INTO ${table} (${names.join()}) VALUES (${names.map(() => '?').join()})`)
      .run(...Object.values(row))
  }
  for (const n of [1, 2, 3]) {
    fill('turns', n, { status: 'completed' })
    fill('items', n, { type: 'message' })
  }
  const content = (db: DatabaseSync) => [
    db.prepare('SELECT * FROM turns ORDER BY id').all(),
    db.prepare('SELECT * FROM items ORDER BY id').all(),
    db
      .prepare("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name")
      .all()
      .map(({ name, sql }) => [name, `${sql}`.replace(/\s+/g, ' ')]),
  ]
  const kept = content(raw)
  raw.close()
  await (await openStorage({ dir, durability: 'normal', now: 2 }))[Symbol.asyncDispose]()
  const now = new DatabaseSync(join(dir, 'daehwa.db'))
  onTestFinished(() => now.close())
  expect(content(now)).toEqual(kept)
})

it('refuses what is written when it is closed, and does not end the process', async () => {
  const { store, ...storage } = await openStorage({ dir: temporaryDir(), durability: 'normal', now: 1 })
  await storage[Symbol.asyncDispose]()
  await expect(store.updateClient(someone(), {}, 1)).rejects.toMatchObject({ code: 'storage_unavailable' })
})
