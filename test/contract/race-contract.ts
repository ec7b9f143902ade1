import { expect, it } from 'vitest'
import type { Claim, NewTurn, Store } from '../../src/conversation/store.ts'
import { historyOf } from '../support/history-of.ts'
import { answer, begin, commit, contents, failure, finish, someone, turn } from './samples.ts'
import type { StoreUnderTest } from './store-contract.ts'

const times = (count: number) => Array.from({ length: count }, (_, n) => n)

/** What `Store` promises when much is written at once. */
export function raceContract(open: () => Promise<StoreUnderTest>): void {
  it('loses no change of settings that are changed at once, of a client that is new', async () => {
    const store = await warm(open)
    const key = someone()
    await Promise.all(
      times(16).map((n) => store.updateClient(key, { metadata: { [`note ${n}`]: `${n}` } }, n)),
    )
    await Promise.all([
      store.updateClient(key, { model: 'chosen' }, 50),
      store.updateClient(key, { temperature: 0.5 }, 51),
      begin(store, turn(key, 'meanwhile')),
    ])
    const { client } = await store.settings(key)
    expect(client?.settings).toMatchObject({ model: 'chosen', temperature: 0.5 })
    expect(Object.keys(client?.settings.metadata ?? {})).toHaveLength(16)
  })

  it('loses no change of the settings by default', async () => {
    const store = await warm(open)
    const key = someone()
    await Promise.all(
      times(16).map((n) => store.updateDefaults(key.tenant, { metadata: { [`note ${n}`]: `${n}` } }, n)),
    )
    const { client, defaults } = await store.settings(key)
    expect(client).toBeUndefined()
    expect(Object.keys(defaults.metadata ?? {})).toHaveLength(16)
  })

  it('makes one conversation of many first messages at once', async () => {
    const store = await warm(open)
    const key = someone()
    const claims = await Promise.all(times(20).map((n) => begin(store, turn(key, `${n}`))))
    expect(new Set(claims.map(({ conversation }) => conversation)).size).toBe(1)
    expect(claims.map(({ fence }) => fence).toSorted((a, b) => a - b)).toEqual(times(20).map((n) => n + 1))
    const committed = await Promise.all(claims.map((claim) => commit(store, claim, answer('a'))))
    expect(committed.filter(Boolean)).toHaveLength(1)
    expect(await historyOf(store, key)).toHaveLength(2)
  })

  const keyed = (client: string, tenant: string, fingerprint = 'same', at = 1): NewTurn => ({
    ...turn({ tenant, client }, 'keyed', at),
    idempotency: { key: 'the key', fingerprint },
  })

  it('takes a message anew once, however many try at once, after it failed and after a day', async () => {
    const store = await warm(open)
    const { tenant } = someone()
    const first = await begin(store, keyed('a', tenant))
    await store.end(first, failure(first.turnId, 'upstream_timeout'))
    const again = await Promise.all(times(20).map(() => store.accept(keyed('a', tenant), 9)))
    expect(again.filter(({ existing }) => !existing)).toHaveLength(1)
    expect(new Set(again.map(({ turnId }) => turnId))).toEqual(new Set([first.turnId]))
    const claim = again.flatMap((one) => (one.existing ? [] : [one.claim]))[0] as Claim
    expect(await commit(store, claim, answer('at last'))).toBe(true)

    const later = 2 * 24 * 60 * 60 * 1000
    const fresh = await Promise.all(
      times(20).map(() => store.accept(keyed('b', tenant, 'new', later), undefined)),
    )
    expect(fresh.filter(({ existing }) => !existing)).toHaveLength(1)
    expect(new Set(fresh.map(({ turnId }) => turnId)).size).toBe(1)
    expect(await store.turn(tenant, first.turnId)).toMatchObject({ status: 'completed' })
  })

  it('refuses all but one of different messages that bear one key at once', async () => {
    const store = await warm(open)
    const { tenant } = someone()
    const all = await Promise.allSettled(
      times(10).map((n) => store.accept(keyed(`client ${n}`, tenant, `body ${n}`), 9)),
    )
    expect(all.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    for (const one of all) {
      if (one.status === 'rejected') expect(one.reason).toMatchObject({ code: 'idempotency_key_reused' })
    }
  })

  it('either commits before it is cleared, or not at all', async () => {
    const store = await warm(open)
    for (let round = 0; round < 20; round++) {
      const key = someone()
      const claim = await begin(store, turn(key, 'q'))
      const [committed, cleared] = await Promise.all(
        round % 2 === 0
          ? ([commit(store, claim, answer('a')), store.clear(key, 5)] as const)
          : await swapped(store.clear(key, 5), commit(store, claim, answer('a'))),
      )
      expect([committed, cleared.messages, cleared.turns.length]).toEqual(
        committed ? [true, 2, 0] : [false, 0, 1],
      )
      expect(await historyOf(store, key)).toEqual([])
      await finish(store, key, 'after', 'it')
      expect(contents(await historyOf(store, key))).toEqual(['after', 'it'])
    }
  })

  it('keeps sizes that several have counted at once, whatever their order', async () => {
    const store = await warm(open)
    const key = someone()
    for (const n of times(20)) await finish(store, key, `q${n}`, 'a')
    const claim = await begin(store, turn(key, 'now'))
    const counts = times(20).map((seq) => ({ seq, position: 1, tokens: 7 }))
    await Promise.all(
      times(10).map((n) => store.keepCounts(claim, n % 2 === 0 ? counts : counts.toReversed())),
    )
    expect((await store.itemsFrom(claim, 0)).filter(({ tokens }) => tokens === 7)).toHaveLength(20)
  })

  it('stays whole under everything at once', async () => {
    const store = await warm(open)
    const keys = times(3).map((n) => someone({ client: `client ${n}` }))
    await Promise.all(times(12).map((n) => churn(store, keys[n % keys.length] ?? someone(), n)))
    for (const key of keys) {
      await store.clear(key, 100)
      await finish(store, key, 'after', 'all')
      expect(contents(await historyOf(store, key))).toEqual(['after', 'all'])
      expect((await store.settings(key)).client).toMatchObject({ inputTokens: 1, outputTokens: 2 })
    }
  })
}

/** A store whose connections are all there, so that what is begun at once runs at once. */
async function warm(open: () => Promise<StoreUnderTest>): Promise<Store> {
  const { store } = await open()
  await Promise.all(times(20).map(() => store.ping()))
  return store
}

/** What is begun first comes last, as its caller wants it. */
async function swapped<A, B>(first: Promise<A>, second: Promise<B>): Promise<readonly [B, A]> {
  return [await second, await first]
}

/** Does to one conversation all that can be done to it, while others do the same. */
async function churn(store: Store, key: NewTurn['key'], seed: number): Promise<void> {
  for (let step = 0; step < 10; step++) {
    const asked = await store.accept(turn(key, 'q'), 9)
    const state = (await store.settings(key)).client?.state
    if (asked.existing || state === undefined) continue
    const { claim = { ...state, turnId: asked.turnId, fence: 0 } } = asked // others may wait before it
    const waiting = turn(key, 'waiting')
    await Promise.all([commit(store, claim, answer('a')), store.accept(waiting, undefined)])
    const entries = await historyOf(store, key)
    const past = await store.itemsFrom({ ...claim, nextSeq: claim.nextSeq + 100 }, 0)
    const counts = past.map(({ seq, position }) => ({ seq, position, tokens: 1 }))
    const next = store.claim(waiting, 3, 9)
    await Promise.all([
      store.keepCounts(claim, step % 2 === 0 ? counts : counts.toReversed()),
      ...(entries[0] === undefined ? [] : [store.pin(key, entries[0].id, step % 2 === 0)]),
      store.updateClient(key, { metadata: { [`${seed}`]: `${step}` } }, step),
      step % 3 === 0
        ? store.clear(key, step)
        : store.endQueued(waiting, failure(waiting.id, 'internal_error')),
      next.then(async (got) => {
        if (typeof got === 'object') await store.end(got, failure(waiting.id, 'upstream_error'))
      }),
    ])
  }
}
