import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, it, onTestFinished } from 'vitest'
import { sqlite } from '../../src/storage/dialects.ts'
import { conversations } from '../../src/storage/migrations/0001-conversations.ts'
import { lazyCounts } from '../../src/storage/migrations/0002-lazy-counts.ts'
import { clients } from '../../src/storage/migrations/0003-clients.ts'
import { openStorage, type Storage } from '../../src/storage/open-storage.ts'
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

it('reads numbers of tokens that were kept before they had a limit', async () => {
  const dir = temporaryDir()
  const key = someone()
  const raw = new DatabaseSync(join(dir, 'daehwa.db'))
  for (const [n, change] of [conversations, lazyCounts, clients].entries()) {
    for (const statement of change(sqlite)) raw.exec(statement)
    if (n === 0)
      raw.exec('CREATE TABLE schema_migrations (version INTEGER PRIMARY KEY, applied_at BIGINT NOT NULL)')
    raw.exec(`INSERT INTO schema_migrations VALUES (${n + 1}, 1)`)
  }
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

it('refuses what is written when it is closed, and does not end the process', async () => {
  const { store, ...storage } = await openStorage({ dir: temporaryDir(), durability: 'normal', now: 1 })
  await storage[Symbol.asyncDispose]()
  await expect(store.updateClient(someone(), {}, 1)).rejects.toMatchObject({ code: 'storage_unavailable' })
})
