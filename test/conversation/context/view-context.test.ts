import { expect, it, onTestFinished } from 'vitest'
import { viewContext } from '../../../src/conversation/context/view-context.ts'
import { DaehwaError } from '../../../src/conversation/errors.ts'
import { openStorage } from '../../../src/storage/open-storage.ts'
import { answer, begin, commit, someone, turn } from '../../contract/samples.ts'
import { domainOver } from '../../support/domain.ts'
import { temporaryDir } from '../../support/start-server.ts'

it('shows a context also where its sizes cannot be kept, as on a full disk', async () => {
  const storage = await openStorage({ dir: temporaryDir(), durability: 'normal', now: 1 })
  onTestFinished(() => storage[Symbol.asyncDispose]())
  let tried = 0
  const keepCounts = async () => {
    tried++
    throw DaehwaError.of('storage_full')
  }
  const store = { ...storage.store, keepCounts }
  const key = someone()
  await commit(store, await begin(store, turn(key, 'q')), { ...answer('abc'), counted: false })
  const { client } = await store.settings(key)
  const deps = domainOver({ store, upstreams: new Map() })
  const view = await viewContext(deps, client?.state, { model: 'm', settings: {} })
  expect(view.items.map(({ tokens }) => tokens)).toEqual([1, 3 + 4])
  expect(tried).toBe(1)
})
