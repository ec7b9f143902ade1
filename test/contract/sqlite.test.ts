import { onTestFinished } from 'vitest'
import { openStorage, type Storage } from '../../src/storage/open-storage.ts'
import { temporaryDir } from '../support/start-server.ts'
import { storeContract } from './store-contract.ts'

for (const durability of ['full', 'normal'] as const) {
  storeContract(`SQLite, ${durability}`, async () => {
    const dir = temporaryDir()
    let storage: Storage = await openStorage({ dir, durability, now: 1 })
    onTestFinished(() => storage[Symbol.asyncDispose]())
    return {
      store: storage.store,
      async reopen() {
        await storage[Symbol.asyncDispose]()
        storage = await openStorage({ dir, durability, now: 2 })
        return storage.store
      },
    }
  })
}
