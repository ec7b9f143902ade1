import { randomUUID } from 'node:crypto'
import { expect, it } from 'vitest'
import type { Charge } from '../../src/conversation/charge.ts'
import type { ConversationKey } from '../../src/conversation/conversation.ts'
import type { Store } from '../../src/conversation/store.ts'
import { answer, begin, commit, failure, someone, turn } from './samples.ts'
import type { StoreUnderTest } from './store-contract.ts'

const day = 24 * 60 * 60 * 1000

const charge = (key: ConversationKey, more: Partial<Charge> = {}): Charge => ({
  ...{ key, apiKey: undefined, model: 'model', input: 10, output: 5, estimated: false, at: 3 * day },
  ...more,
})

const ledger = (store: Store, { tenant }: ConversationKey) =>
  store.usage({ tenant, client: undefined, from: 0, to: 100, by: ['client_name', 'day', 'key'], limit: 100 })

const row = (more: object = {}) => ({
  ...{ client_name: '민수', day: 3, key: null, model: 'model' },
  ...{ turns: 1, estimated_turns: 0, input_tokens: 10, output_tokens: 5, ...more },
})

/** The ledger of what turns have used. */
export function usageContract(open: () => Promise<StoreUnderTest>): void {
  it('charges a turn with its answer, and sums up by client, day, key and model', async () => {
    const { store } = await open()
    const key = someone()
    const finish = async (charged: Charge) =>
      expect(await commit(store, await begin(store, turn(key, 'q')), answer('a'), charged)).toBe(true)
    await finish(charge(key))
    await finish(charge(key))
    await finish(charge(key, { at: 4 * day, apiKey: 'key_1', model: 'other', estimated: true }))
    expect(await ledger(store, key)).toEqual([
      row({ turns: 2, input_tokens: 20, output_tokens: 10 }),
      row({ day: 4, key: 'key_1', model: 'other', estimated_turns: 1 }),
    ])
    const all = { tenant: key.tenant, client: undefined, by: [], limit: 100 }
    expect(await store.usage({ ...all, from: 4, to: 4 })).toMatchObject([{ model: 'other', turns: 1 }])
    expect(await store.usage({ ...all, client: 'another', from: 0, to: 9 })).toEqual([])
    expect(await ledger(store, someone())).toEqual([])
  })

  it('charges once, however often an end is written', async () => {
    const { store } = await open()
    const key = someone()
    const failed = await begin(store, turn(key, 'q'))
    for (let again = 0; again < 3; again++)
      await store.end(failed, failure(failed.turnId, 'upstream_error'), charge(key))
    const kept = await begin(store, turn(key, 'q'))
    await commit(store, kept, answer('a'), charge(key))
    await store.end(kept, failure(kept.turnId, 'storage_unavailable'), charge(key))
    expect(await ledger(store, key)).toEqual([row({ turns: 2, input_tokens: 20, output_tokens: 10 })])
  })

  it.each(['clear', 'forget'] as const)('charges a turn whose history was erased: %s', async (erase) => {
    const { store } = await open()
    const key = someone()
    const claim = await begin(store, turn(key, 'q'))
    await store[erase](key, 5)
    await store[erase](key, 6)
    expect(await commit(store, claim, answer('a'), charge(key))).toBe(false)
    await store.end(claim, failure(claim.turnId, 'history_deleted'), charge(key))
    expect(await ledger(store, key)).toEqual([row()])
  })

  it('frees what a turn has reserved, however it ends', async () => {
    const { store } = await open()
    const key = someone()
    const apiKey = randomUUID()
    const limited = (input: string) => ({
      ...turn(key, input, 3 * day),
      ...{ apiKey, limits: { tokens_per_day: 1_500 }, settings: { max_output_tokens: 1_000 } },
    })
    const first = await begin(store, limited('one'))
    await expect(begin(store, limited('two'))).rejects.toMatchObject({ code: 'quota_exceeded' })
    await store.end(first, failure(first.turnId, 'upstream_error'))
    const second = await begin(store, limited('three'))
    await expect(begin(store, limited('four'))).rejects.toMatchObject({ code: 'quota_exceeded' })
    await store.clear(key, 4 * day)
    const third = await begin(store, limited('five'))
    await commit(store, third, answer('a'), charge(key, { apiKey, input: 500, output: 1 }))
    await expect(begin(store, limited('six'))).rejects.toMatchObject({ code: 'quota_exceeded' })
    expect(second.turnId).not.toBe(third.turnId)
  })
}
