import { expect, it } from 'vitest'
import type { ConversationState } from '../../src/conversation/client.ts'
import { type Compaction, type ConversationKey, messageJson } from '../../src/conversation/conversation.ts'
import type { Claim, Store } from '../../src/conversation/store.ts'
import { historyOf } from '../support/history-of.ts'
import { answer, begin, commit, finish, someone, turn } from './samples.ts'
import type { StoreUnderTest } from './store-contract.ts'

const clientOf = async (store: Store, key: ConversationKey) => (await store.settings(key)).client

const settingsOf = async (store: Store, key: ConversationKey) => (await clientOf(store, key))?.settings

async function stateOf(store: Store, key: ConversationKey): Promise<ConversationState> {
  const client = await clientOf(store, key)
  if (client === undefined) throw new Error('no such client')
  return client.state
}

/** What `Store` promises of clients: their settings, their lists, their end. */
export function clientContract(open: () => Promise<StoreUnderTest>): void {
  const full = {
    ...{ model: 'one', instructions: '짧게 "답해".\n', temperature: 0.3, top_p: 1, max_output_tokens: 7 },
    ...{ stop: ['END', '\n'], reasoning_effort: 'low', fallback: ['two'], compaction: 'off' as const },
    ...{ compact_at: 0.5, summary_model: 'three', metadata: { team: '파랑', toString: 'x' } },
  }

  it('keeps all settings of a client, changes what it is told, and has them when it is opened again', async () => {
    const { store, reopen } = await open()
    const key = someone()
    expect(await store.updateClient(key, full, 5)).toMatchObject({
      ...{ name: key.client, settings: full, createdAt: 5, activeAt: 5, inputTokens: 0, outputTokens: 0 },
      state: { tenant: key.tenant, epoch: 0, firstSeq: 0, nextSeq: 0, compactedTo: 0, pins: 0 },
    })
    const changed = { temperature: null, stop: null, top_p: 0, metadata: { team: null, note: 'n' } }
    const { temperature: _, stop: __, ...rest } = full
    const expected = { ...rest, top_p: 0, metadata: { toString: 'x', note: 'n' } }
    expect(await store.updateClient(key, changed, 6)).toMatchObject({ createdAt: 5, activeAt: 6 })
    expect(await settingsOf(store, key)).toEqual(expected)
    expect(await settingsOf(await reopen(), key)).toEqual(expected)
  })

  it('keeps settings through turns and erasing, and counts what is in the history', async () => {
    const { store } = await open()
    const key = someone()
    await store.updateClient(key, full, 1)
    await finish(store, key, 'q', 'a', { at: 2, answeredAt: 3 })
    await finish(store, key, 'q', 'a', { at: 4, answeredAt: 5 })
    expect(await clientOf(store, key)).toMatchObject({
      ...{ settings: full, inputTokens: 2, outputTokens: 4, createdAt: 1, activeAt: 5 },
      state: { firstSeq: 0, nextSeq: 2 },
    })
    await store.clear(key, 6)
    expect(await clientOf(store, key)).toMatchObject({
      ...{ settings: full, inputTokens: 0, outputTokens: 0, activeAt: 6 },
      state: { epoch: 1, firstSeq: 2, nextSeq: 2 },
    })
  })

  it('forgets who answered last when model or fallback are set, also while a turn runs', async () => {
    const { store } = await open()
    const key = someone()
    const served = async (servedBy: string, change: object = {}) => {
      const claim = await begin(store, turn(key, 'q'))
      await store.updateClient(key, change, 2)
      expect(await commit(store, claim, { ...answer('a'), servedBy })).toBe(true)
      const { servedBy: mark } = await stateOf(store, key)
      return mark === servedBy
    }
    expect(await served('a b b', { model: 'a' })).toBe(false)
    expect(await served('a b b', { temperature: 1 })).toBe(true)
    expect(await served('a b b', { fallback: ['b'] })).toBe(false)
    expect(await served('a b a')).toBe(true)
    await store.updateClient(key, { model: 'a' }, 3)
    expect(await stateOf(store, key)).not.toMatchObject({ servedBy: 'a b a' })
  })

  it('can be read however many tokens are said to have been used', async () => {
    const { store } = await open()
    const key = someone()
    const [most, more] = [Number.MAX_SAFE_INTEGER, 1_000_000_000]
    for (const tokens of [most - 1, more, more]) {
      const usage = { input_tokens: tokens, output_tokens: tokens, total_tokens: tokens }
      await commit(store, await begin(store, turn(key, 'q')), { ...answer('a'), usage })
    }
    expect(await clientOf(store, key)).toMatchObject({ inputTokens: most, outputTokens: most })
    expect(
      (await store.clients(key.tenant, { prefix: '', limit: 5, cursor: undefined })).clients,
    ).toHaveLength(1)
  })

  it('loses nothing of changes that come at once', async () => {
    const { store } = await open()
    const key = someone()
    const notes = Array.from({ length: 16 }, (_, n) => `note ${n}`)
    await Promise.all([
      ...notes.map((note) => store.updateClient(key, { metadata: { [note]: note } }, 1)),
      store.updateClient(key, { model: 'one' }, 1),
      store.updateClient(key, { temperature: 1 }, 1),
      ...notes.map((note) => store.updateDefaults(key.tenant, { metadata: { [note]: note } }, 1)),
    ])
    const metadata = Object.fromEntries(notes.map((note) => [note, note]))
    expect(await store.settings(key)).toMatchObject({
      client: { settings: { model: 'one', temperature: 1, metadata } },
      defaults: { metadata },
    })
  })

  it('refuses a seventeenth note, and undoes that change alone', async () => {
    const { store } = await open()
    const key = someone()
    const notes = Object.fromEntries(Array.from({ length: 16 }, (_, n) => [`note ${n}`, '']))
    const results = await Promise.allSettled([
      store.updateClient(key, { metadata: notes }, 1),
      store.updateClient(key, { top_p: 1, metadata: { more: '' } }, 2),
      store.updateClient(key, { temperature: 1 }, 3),
    ])
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(results[1]).toMatchObject({ reason: { code: 'invalid_request' } })
    expect(await settingsOf(store, key)).toEqual({ metadata: notes, temperature: 1 })
  })

  it('keeps settings by default of each tenant', async () => {
    const { store, reopen } = await open()
    const [a, b] = [someone(), someone()]
    expect(await store.settings(a)).toEqual({ client: undefined, defaults: {} })
    expect(await store.updateDefaults(a.tenant, full, 1)).toEqual(full)
    expect(await store.updateDefaults(a.tenant, { model: null, metadata: null }, 2)).not.toHaveProperty(
      'model',
    )
    expect((await store.settings(b)).defaults).toEqual({})
    const { model: _, metadata: __, ...rest } = full
    expect(await (await reopen()).settings(a)).toEqual({ client: undefined, defaults: rest })
  })

  it('lists the clients of a tenant, the ones last active first, in pages', async () => {
    const { store } = await open()
    const { tenant } = someone()
    await store.updateClient(someone({ client: 'of another' }), {}, 9)
    const names = ['민수', '민지', 'a%', 'a_', 'ab', '😀', 'A']
    for (const [at, client] of names.entries())
      await store.updateClient({ tenant, client }, {}, 1 + (at >> 1))
    const page = (more: object) =>
      store.clients(tenant, { prefix: '', limit: 50, cursor: undefined, ...more })
    const all = (await page({})).clients
    expect(all.map(({ name }) => name).toSorted()).toEqual(names.toSorted())
    expect(all.map(({ activeAt }) => activeAt)).toEqual([4, 3, 3, 2, 2, 1, 1])
    const seen: string[] = []
    let cursor: string | undefined
    do {
      const { clients, next } = await page({ limit: 2, cursor })
      seen.push(...clients.map(({ name }) => name))
      cursor = next
      await store.updateClient({ tenant, client: seen[0] ?? '' }, {}, 10)
    } while (cursor !== undefined)
    expect(seen).toEqual(all.map(({ name }) => name))
    for (const [prefix, count] of [
      ['민', 2],
      ['a%', 1],
      ['a_', 1],
      ['a', 3],
      ['😀', 1],
      ['A', 1],
      ['b', 0],
    ] as const) {
      expect((await page({ prefix })).clients.length, prefix).toBe(count)
    }
    expect((await page({ limit: 7 })).next).toBeUndefined()
    await expect(page({ cursor: 'nonsense' })).rejects.toMatchObject({ code: 'invalid_request' })
  })

  it('never says that a client was last active earlier than it said before', async () => {
    const { store } = await open()
    const key = someone()
    const active = async () => (await clientOf(store, key))?.activeAt
    await store.updateClient(key, {}, 20)
    const slow = turn(key, 'came at 5, and took long to count', 5)
    await store.accept(slow, undefined)
    expect(await active()).toBe(20)
    const claim = (await store.claim(slow, 6, 99)) as Claim
    await commit(store, claim, answer('a', 7))
    await begin(store, turn(key, 'q', 8))
    await store.updateClient(key, { top_p: 1 }, 9)
    await store.clear(key, 10)
    expect(await active()).toBe(20)
    await finish(store, key, 'q', 'a', { at: 21, answeredAt: 22 })
    expect(await active()).toBe(22)
  })

  it('gives fewer clients than asked for where their settings are long, and none is left out', async () => {
    const { store } = await open()
    const { tenant } = someone()
    const instructions = '말'.repeat(1_000_000)
    for (let n = 0; n < 4; n++) await store.updateClient({ tenant, client: `${n}` }, { instructions }, n)
    const first = await store.clients(tenant, { prefix: '', limit: 50, cursor: undefined })
    const second = await store.clients(tenant, { prefix: '', limit: 50, cursor: first.next })
    expect(first.clients.length).toBeLessThan(4)
    expect(second.clients.length).toBeGreaterThan(0)
    expect([...first.clients, ...second.clients][3]?.name).toBe(second.next === undefined ? '0' : undefined)
  })

  it('forgets a client with all that it has: nothing comes back, and the name begins anew', async () => {
    const { store, reopen } = await open()
    const [key, other] = [someone(), someone()]
    await store.updateClient(key, full, 1)
    await store.updateClient(other, full, 1)
    await finish(store, key, 'q', 'a')
    await store.pin(key, (await historyOf(store, key))[0]?.id ?? '', true)
    const old = await stateOf(store, key)
    const held = await store.beginCompaction(old, 1, 9)
    expect(await store.keepCompaction(held as ConversationState, 9, summary(0, 1))).toBe(true)
    const running = await begin(store, turn(key, 'running'))
    const waiting = turn(key, 'waiting')
    await store.accept(waiting, undefined)
    expect(await store.forget({ ...key, tenant: 'another' }, 5)).toMatchObject({ messages: 0, turns: [] })
    expect(await store.forget(key, 5)).toEqual({
      ...{ messages: 2, turns: [running.turnId, waiting.id], conversation: old.conversation },
    })
    expect(await clientOf(store, key)).toBeUndefined()
    expect((await store.clients(key.tenant, { prefix: '', limit: 5, cursor: undefined })).clients).toEqual([])
    for (const id of [running.turnId, waiting.id]) {
      expect(await store.turn(key.tenant, id)).toMatchObject({ status: 'cancelled', text: '' })
    }
    expect(await store.claim(waiting, 6, 9)).toBe('gone')
    await finish(store, key, 'new', 'life')
    expect(await commit(store, running, answer('ghost'))).toBe(false)
    expect(await store.beginCompaction(old, 6, 9)).toBeUndefined()
    for (const left of [old, running]) {
      expect(await store.itemsFrom(left, 0)).toEqual([])
      expect(await store.views(left, 0, 9)).toEqual([])
      expect(await store.pinned(left)).toEqual([])
      expect(await store.compaction(left)).toBeUndefined()
    }
    const state = await stateOf(store, key)
    expect(state.conversation).not.toBe(old.conversation)
    expect(await clientOf(store, key)).toMatchObject({
      settings: {},
      inputTokens: 1,
      state: { nextSeq: 1, pins: 0 },
    })
    expect(await settingsOf(store, other)).toEqual(full)
    expect(
      (await (await reopen()).takeOver('new', 7)).filter((one) => one.key.tenant === key.tenant),
    ).toEqual([])
  })

  it('says for a day that a turn ended because its client was forgotten, and then nothing', async () => {
    const { store } = await open()
    const [key, other] = [someone(), someone()]
    const [day, waiting] = [24 * 60 * 60 * 1000, turn(key, 'waiting')]
    await store.accept(waiting, undefined)
    await store.forget(key, 5)
    const eraseAnother = async (at: number) => {
      for (const tenant of [key.tenant, other.tenant]) {
        await store.updateClient({ tenant, client: 'another' }, {}, at)
        await store.forget({ tenant, client: 'another' }, at)
      }
    }
    await eraseAnother(5 + day)
    expect(await store.turn(key.tenant, waiting.id)).toMatchObject({ error: { code: 'history_deleted' } })
    await eraseAnother(6 + day)
    expect(await store.turn(key.tenant, waiting.id)).toBeUndefined()
  })

  it('leaves nothing half when a client is forgotten while it is written to', async () => {
    const { store } = await open()
    const key = someone()
    for (let n = 0; n < 20; n++) {
      await finish(store, key, 'q', 'a')
      const fresh = turn(key, 'new')
      const [accepted] = await Promise.all([
        store.accept(fresh, 9),
        store.forget(key, 5),
        store.updateClient(key, { top_p: 1 }, 6),
      ])
      const claim = (!accepted.existing && accepted.claim) || (await store.claim(fresh, 2, 9))
      const alive = (await store.turn(key.tenant, fresh.id))?.status === 'in_progress'
      expect(typeof claim === 'object' && (await commit(store, claim, answer('a')))).toBe(alive)
      expect(await historyOf(store, key)).toHaveLength(alive ? 2 : 0)
      expect([undefined, { top_p: 1 }, {}]).toContainEqual(await settingsOf(store, key))
    }
  })

  it('takes no message with the settings of a client that was forgotten since they were read', async () => {
    const { store } = await open()
    const key = someone()
    const early = turn(key, 'early')
    await store.updateClient(key, { instructions: 'gone' }, 1)
    const { conversation } = await stateOf(store, key)
    await store.clear(key, 2)
    expect(await store.accept({ ...turn(key, 'q'), conversation }, undefined)).toMatchObject({
      existing: false,
    })
    await store.forget(key, 3)
    const late = { ...turn(key, 'late'), settings: { instructions: 'gone' }, conversation }
    for (const deadline of [undefined, 9]) {
      await expect(store.accept(late, deadline)).rejects.toMatchObject({ code: 'history_deleted' })
    }
    expect([await clientOf(store, key), await store.turn(key.tenant, late.id)]).toEqual([
      undefined,
      undefined,
    ])
    expect(await store.accept(early, undefined)).toMatchObject({ existing: false })
    await expect(store.accept(late, undefined)).rejects.toMatchObject({ code: 'history_deleted' })
  })

  it('pins messages of a conversation, oldest first, and tells of every change', async () => {
    const { store } = await open()
    const [key, other] = [someone(), someone()]
    for (let n = 0; n < 3; n++) await finish(store, key, `q${n}`, `a${n}`)
    await finish(store, other, 'q', 'a')
    const ids = (await historyOf(store, key)).map(({ id }) => id)
    const pins = async () =>
      (await store.pinned(await stateOf(store, key))).map(({ json }) => JSON.parse(json).content)
    expect([await pins(), (await stateOf(store, key)).pins]).toEqual([[], 0])
    for (const at of [3, 0]) expect(await store.pin(key, ids[at] ?? '', true)).toBe(true)
    expect([await pins(), (await stateOf(store, key)).pins]).toEqual([['q0', 'a1'], 2])
    expect(await store.pin(key, ids[0] ?? '', true)).toBe(true)
    expect((await stateOf(store, key)).pins).toBe(2)
    expect(await store.pin(key, ids[3] ?? '', false)).toBe(true)
    expect([await pins(), (await stateOf(store, key)).pins]).toEqual([['q0'], 3])
    expect(await store.pin(key, 'msg_none', true)).toBe(false)
    expect(await store.pin(other, ids[0] ?? '', true)).toBe(false)
    expect(await store.pin({ ...key, tenant: other.tenant }, ids[0] ?? '', true)).toBe(false)
    expect(await store.pin(someone(), ids[0] ?? '', true)).toBe(false)
    const before = await stateOf(store, key)
    await store.clear(key, 9)
    expect([await pins(), await store.pinned(before), (await stateOf(store, key)).pins]).toEqual([[], [], 0])
    expect(await store.pin(key, ids[0] ?? '', true)).toBe(false)
  })

  it('shows messages with their ids, of the turns that it is asked for and no others', async () => {
    const { store } = await open()
    const key = someone()
    const turns = [await finish(store, key, 'q0', 'a0'), await finish(store, key, 'q1', 'a1')]
    const reasoned = await begin(store, turn(key, 'q2'))
    await commit(store, reasoned, { ...answer('a2'), reasoning: 'hm' })
    const state = await stateOf(store, key)
    const entries = await historyOf(store, key)
    const views = await store.views(state, 0, 9)
    expect(views.map(({ id, turnId }) => [id, turnId])).toEqual(entries.map(({ id, turnId }) => [id, turnId]))
    expect(
      (await store.views(state, 1, 2)).map(({ json, seq, position, turnId }) => [
        json,
        seq,
        position,
        turnId,
      ]),
    ).toEqual([
      [messageJson('user', 'q1'), 1, 0, turns[1]],
      [messageJson('assistant', 'a1'), 1, 1, turns[1]],
    ])
    expect(await store.views(state, 2, 2)).toEqual([])
    await store.clear(key, 5)
    expect(await store.views(await stateOf(store, key), 0, 9)).toEqual([])
  })

  it('lets one compact a conversation at a time, and takes the right from one who is late', async () => {
    const { store } = await open()
    const key = someone()
    for (let n = 0; n < 3; n++) await finish(store, key, `q${n}`, `a${n}`)
    const state = await stateOf(store, key)
    const both = await Promise.all([
      store.beginCompaction(state, 10, 20),
      store.beginCompaction(state, 10, 21),
    ])
    expect(both.filter((held) => held !== undefined)).toHaveLength(1)
    const until = both[0] === undefined ? 21 : 20
    expect(await store.beginCompaction(state, until - 1, 30)).toBeUndefined()
    expect(await store.keepCompaction(state, 99, summary(0, 1))).toBe(false)
    expect(await store.compaction(state)).toBeUndefined()
    expect(await store.beginCompaction(state, until, 40)).toMatchObject({ conversation: state.conversation })
    expect(await store.keepCompaction(state, until, summary(0, 1))).toBe(false)
    await store.endCompaction(state, until, 'upstream_timeout')
    expect((await clientOf(store, key))?.compactionError).toBeUndefined()
    expect(await store.keepCompaction(state, 40, summary(0, 2))).toBe(true)
    expect(await store.keepCompaction(state, 40, summary(0, 3))).toBe(true)
    expect(await store.compaction(state)).toEqual(summary(0, 3))
    expect((await stateOf(store, key)).compactedTo).toBe(3)
    await store.endCompaction(state, 40, undefined)
    expect(await store.beginCompaction(state, 11, 50)).toMatchObject({ compactedTo: 3 })
  })

  it('says why there is no compaction until there is one, and gives the right back when its time is over', async () => {
    const { store, reopen } = await open()
    const key = someone()
    await finish(store, key, 'q', 'a')
    const state = await stateOf(store, key)
    await store.beginCompaction(state, 1, 10)
    await store.endCompaction(state, 10, 'upstream_timeout')
    expect((await clientOf(store, key))?.compactionError).toBe('upstream_timeout')
    await store.beginCompaction(state, 1, 11)
    const again = await reopen()
    expect(await again.beginCompaction(state, 12, 12)).toBeDefined()
    expect(await again.keepCompaction(state, 12, summary(0, 1))).toBe(true)
    expect((await clientOf(again, key))?.compactionError).toBeUndefined()
    expect(await again.compaction(state)).toEqual(summary(0, 1))
  })

  it('drops a compaction, and the right to one, with the history', async () => {
    const { store } = await open()
    const [key, other] = [someone(), someone()]
    await finish(store, key, 'q', 'a')
    await finish(store, other, 'q', 'a')
    const [state, others] = [await stateOf(store, key), await stateOf(store, other)]
    for (const [one, until] of [
      [state, 10],
      [others, 11],
    ] as const) {
      await store.beginCompaction(one, 1, until)
      expect(await store.keepCompaction(one, until, summary(0, 1))).toBe(true)
    }
    expect(await store.compaction({ ...state, tenant: other.tenant })).toBeUndefined()
    await store.clear(key, 2)
    expect(await store.compaction(state)).toBeUndefined()
    expect(await store.keepCompaction(state, 10, summary(0, 1))).toBe(false)
    expect(await store.beginCompaction(state, 20, 30)).toBeUndefined()
    await finish(store, key, 'q', 'a')
    const now = await stateOf(store, key)
    expect(now).toMatchObject({ epoch: 1, firstSeq: 1, nextSeq: 2 })
    expect(await store.beginCompaction(now, 3, 30)).toBeDefined()
    await store.endCompaction(state, 30, 'upstream_error')
    expect((await clientOf(store, key))?.compactionError).toBeUndefined()
    expect(await store.compaction(others)).toEqual(summary(0, 1))
  })
}

const summary = (fromSeq: number, toSeq: number): Compaction => ({
  ...{ id: `cmp_${fromSeq}_${toSeq}`, fromSeq, toSeq, model: 'm', at: 7, tokens: 3, counted: true },
  json: messageJson('system', `turns ${fromSeq} to ${toSeq}`),
})
