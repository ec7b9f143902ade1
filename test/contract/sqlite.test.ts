import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, it, onTestFinished } from 'vitest'
import { openStorage, type Storage } from '../../src/storage/open-storage.ts'
import { temporaryDir } from '../support/start-server.ts'
import { finish, someone } from './samples.ts'
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
  const before = await openStorage({ dir, durability: 'normal', now: 1 })
  const id = await finish(before.store, key, 'q', 'a')
  await before[Symbol.asyncDispose]()
  const raw = new DatabaseSync(join(dir, 'daehwa.db'))
  raw.exec(`DELETE FROM schema_migrations WHERE version > 3; DROP INDEX turns_erased; DROP INDEX turns_by_owner; DROP INDEX turns_open;
    DROP TABLE instances; ALTER TABLE conversations DROP COLUMN places;
    ALTER TABLE turns DROP COLUMN owner; ALTER TABLE turns DROP COLUMN cancel_requested;
    ALTER TABLE turns DROP COLUMN followed_until;
    UPDATE conversations SET input_tokens = ${2n ** 60n}, output_tokens = ${2n ** 53n};
    UPDATE turns SET usage_total = ${2n ** 54n}`)
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
