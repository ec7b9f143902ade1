import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { ConversationKey } from '../../src/conversation/conversation.ts'
import type { Claim, FinishedTurn, NewTurn, Store } from '../../src/conversation/ports.ts'
import { historyOf } from '../support/history-of.ts'

/** What a database must let the suite do to it. */
export interface StoreUnderTest {
  readonly store: Store
  /** Closes the store and opens it again on the same data. */
  reopen(): Promise<Store>
}

/** The promises of `Store`, for whatever database is behind it. */
export function storeContract(name: string, open: () => Promise<StoreUnderTest>): void {
  describe(`the store over ${name}`, () => {
    it('keeps a turn as two messages with their times, and gives back what it was given', async () => {
      const { store } = await open()
      const key = someone()
      const id = await finish(store, key, '안녕 😀 "quoted"\n', 'Hello\u0001 back', {
        at: 1_000,
        answeredAt: 2_000,
      })
      expect(await historyOf(store, key)).toEqual([
        { turnId: id, role: 'user', content: '안녕 😀 "quoted"\n', at: 1_000 },
        { turnId: id, role: 'assistant', content: 'Hello\u0001 back', at: 2_000 },
      ])
    })

    it('knows nothing of a client that nobody has written to', async () => {
      const { store } = await open()
      expect(await historyOf(store, someone())).toEqual([])
      expect(await store.model(someone())).toBeUndefined()
      expect(await store.clear(someone(), 1)).toEqual({ messages: 0, turns: [] })
    })

    it('keeps tenants apart that use one name', async () => {
      const { store } = await open()
      const [a, b] = [someone({ client: 'same' }), someone({ client: 'same' })]
      await finish(store, a, 'of a', 'to a')
      await store.setModel(a, 'model-a', 1)
      expect(await historyOf(store, b)).toEqual([])
      expect(await store.model(b)).toBeUndefined()
      await finish(store, b, 'of b', 'to b')
      expect(await store.clear(b, 1)).toEqual({ messages: 2, turns: [] })
      expect(contents(await historyOf(store, a))).toEqual(['of a', 'to a'])
    })

    it('does not show a turn of another tenant as the end of a page', async () => {
      const { store } = await open()
      const [a, b] = [someone(), someone()]
      const ofA = await finish(store, a, 'a', 'a')
      await finish(store, b, 'b', 'b')
      expect(await historyOf(store, b, 10, ofA)).toEqual([])
    })

    it('remembers the model of a client through turns and erasing', async () => {
      const { store } = await open()
      const key = someone()
      await store.setModel(key, 'one', 1)
      await finish(store, key, 'a', 'b')
      await store.setModel(key, 'two', 2)
      await store.clear(key, 3)
      expect(await store.model(key)).toBe('two')
    })

    it('gives past turns newest first and whole, from where it is asked', async () => {
      const { store } = await open()
      const key = someone()
      for (let n = 0; n < 5; n++) await finish(store, key, `q${n}`, `a${n}`)
      const claim = await store.acceptAndClaim(turn(key, 'now'), 9)
      expect([claim.firstSeq, claim.nextSeq]).toEqual([0, 5])
      expect(await store.turnsBefore(claim, 4, 2)).toEqual([
        { seq: 3, tokens: [2, 2] },
        { seq: 2, tokens: [2, 2] },
      ])
      const items = await store.itemsFrom(claim, 3)
      expect(items.map(({ json }) => JSON.parse(json).content)).toEqual(['q3', 'a3', 'q4', 'a4'])
      expect(items.map(({ tokens }) => tokens)).toEqual([2, 2, 2, 2])
      expect(await store.turnsBefore(claim, 1, 64)).toHaveLength(1)
      expect(await store.turnsBefore(claim, 0, 64)).toEqual([])
    })

    it('pages a history by whole turns', async () => {
      const { store } = await open()
      const key = someone()
      const ids: string[] = []
      for (let n = 0; n < 5; n++) ids.push(await finish(store, key, `q${n}`, `a${n}`))
      expect(contents(await historyOf(store, key, 2))).toEqual(['q3', 'a3', 'q4', 'a4'])
      expect(contents(await historyOf(store, key, 2, ids[3]))).toEqual(['q1', 'a1', 'q2', 'a2'])
      expect(contents(await historyOf(store, key, 2, ids[1]))).toEqual(['q0', 'a0'])
      expect(contents(await historyOf(store, key, undefined, ids[2]))).toEqual(['q0', 'a0', 'q1', 'a1'])
      expect(await historyOf(store, key, 2, 'resp_unknown')).toEqual([])
    })

    it('lets nothing of a failed turn into the history or a context', async () => {
      const { store } = await open()
      const key = someone()
      const claim = await store.acceptAndClaim(turn(key, 'lost'), 9)
      await store.fail(claim, 'upstream_error', 2)
      expect(await historyOf(store, key)).toEqual([])
      expect(await store.commit(claim, answer('too late'))).toBe(false)
      expect((await store.acceptAndClaim(turn(key, 'next'), 9)).nextSeq).toBe(0)
      expect(await historyOf(store, key)).toEqual([])
    })

    it('commits once', async () => {
      const { store } = await open()
      const key = someone()
      const claim = await store.acceptAndClaim(turn(key, 'q'), 9)
      const results = await Promise.all([store.commit(claim, answer('a')), store.commit(claim, answer('a'))])
      expect(results.toSorted()).toEqual([false, true])
      expect(await historyOf(store, key)).toHaveLength(2)
    })

    it('discards the commit of one who lost the conversation to a newer claim', async () => {
      const { store } = await open()
      const key = someone()
      const old = await store.acceptAndClaim(turn(key, 'old'), 9)
      const newer = await store.acceptAndClaim(turn(key, 'new'), 9)
      expect(newer.fence).toBeGreaterThan(old.fence)
      expect(await store.commit(old, answer('old'))).toBe(false)
      await store.fail(old, 'internal_error', 3)
      expect(await store.commit(newer, answer('new'))).toBe(true)
      expect(contents(await historyOf(store, key))).toEqual(['new', 'new'])
    })

    it('marks an answer that was cut short', async () => {
      const { store } = await open()
      const key = someone()
      const claim = await store.acceptAndClaim(turn(key, 'q'), 9)
      await store.commit(claim, { ...answer('half'), incomplete: 'max_output_tokens' })
      expect((await historyOf(store, key)).map(({ incomplete }) => incomplete)).toEqual([
        undefined,
        'max_output_tokens',
      ])
    })

    it('lets nothing that was erased come back', async () => {
      const { store } = await open()
      const key = someone()
      await finish(store, key, 'q', 'a')
      const running = await store.acceptAndClaim(turn(key, 'running'), 9)
      const waiting = turn(key, 'waiting')
      await store.accept(waiting)
      expect(await store.clear(key, 5)).toEqual({ messages: 2, turns: [running.turnId, waiting.id] })
      expect(await store.commit(running, answer('ghost'))).toBe(false)
      expect(await store.claim(key.tenant, waiting.id, 6, 9)).toBeUndefined()
      expect(await historyOf(store, key)).toEqual([])
      expect(await store.turnsBefore(running, running.nextSeq, 64)).toEqual([])
      expect(await store.itemsFrom(running, 0)).toEqual([])
      await finish(store, key, 'after', 'it')
      expect(contents(await historyOf(store, key))).toEqual(['after', 'it'])
      expect((await store.clear(key, 7)).messages).toBe(2)
      expect((await store.clear(key, 8)).messages).toBe(0)
    })

    it('ends a waiting turn that is not to run, and no other', async () => {
      const { store, reopen } = await open()
      const [waiting, other] = [turn(someone(), 'waiting'), turn(someone(), 'other')]
      await store.accept(waiting)
      await store.accept(other)
      const running = await store.acceptAndClaim(turn(someone(), 'running'), 9)
      await store.abandon('another', other.id, 'storage_full', 3)
      await store.abandon(waiting.key.tenant, waiting.id, 'storage_full', 3)
      await store.abandon(running.tenant, running.turnId, 'storage_full', 3)
      expect(await store.claim(waiting.key.tenant, waiting.id, 4, 9)).toBeUndefined()
      expect(await store.commit(running, answer('still'))).toBe(true)
      expect((await (await reopen()).recover(5)).map(({ id }) => id)).toEqual([other.id])
    })

    it('gives a history in pages that stay small, however large its messages are', async () => {
      const { store } = await open()
      const key = someone()
      for (let n = 0; n < 5; n++) {
        const claim = await store.acceptAndClaim(turn(key, `q${n}`), 9)
        const large = { ...answer(`a${n}`), answer: { ...answer(`a${n}`).answer, tokens: 150_000 } }
        await store.commit(claim, large)
      }
      const pages = await Array.fromAsync(store.history(key))
      expect(pages.map((page) => page.length)).toEqual([2, 2, 2, 2, 2])
      expect(contents(pages.flat())).toEqual([0, 1, 2, 3, 4].flatMap((n) => [`q${n}`, `a${n}`]))
      const small = someone()
      for (let n = 0; n < 130; n++) await finish(store, small, `q${n}`, 'a')
      expect((await Array.fromAsync(store.history(small))).map((page) => page.length)).toEqual([128, 128, 4])
    })

    it('hands a waiting turn out once, and not to another tenant', async () => {
      const { store } = await open()
      const waiting = turn(someone(), 'waiting')
      await store.accept(waiting)
      expect(await store.claim('another', waiting.id, 2, 9)).toBeUndefined()
      const claims = await Promise.all([1, 2].map(() => store.claim(waiting.key.tenant, waiting.id, 2, 9)))
      expect(claims.filter((claim) => claim !== undefined)).toHaveLength(1)
    })

    it('has everything after it is opened again, and says what was cut off', async () => {
      const { store, reopen } = await open()
      const key = someone()
      await finish(store, key, 'q', 'a')
      await store.setModel(key, 'chosen', 1)
      const running = await store.acceptAndClaim(turn(key, 'running'), 9)
      const waiting = [turn(key, 'first'), turn(key, 'second')]
      for (const one of waiting) await store.accept(one)
      const again = await reopen()
      const found = (await again.recover(5)).filter(({ key: { tenant } }) => tenant === key.tenant)
      expect(found).toEqual(
        waiting.map(({ id, input, model, instructions }) => ({ id, key, input, model, instructions })),
      )
      expect(await again.commit(running, answer('ghost'))).toBe(false)
      expect(contents(await historyOf(again, key))).toEqual(['q', 'a'])
      expect(await again.model(key)).toBe('chosen')
      const claim = await again.claim(key.tenant, waiting[0]?.id ?? '', 6, 9)
      expect(await again.commit(claim as Claim, answer('at last'))).toBe(true)
      expect(contents(await historyOf(again, key))).toEqual(['q', 'a', 'first', 'at last'])
    })

    it('undoes alone what fails among others that are written at once', async () => {
      const { store } = await open()
      const [key, other] = [someone(), someone()]
      const twice = turn(key, 'twice')
      const results = await Promise.allSettled([
        store.acceptAndClaim(turn(other, 'fine'), 9),
        store.accept(twice),
        store.accept(twice),
        store.setModel(other, 'fine', 1),
      ])
      expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled'])
      expect(await store.model(other)).toBe('fine')
    })

    it('answers a ping', async () => {
      await expect((await open()).store.ping()).resolves.toBeUndefined()
    })
  })
}

const someone = (key: Partial<ConversationKey> = {}): ConversationKey => ({
  tenant: randomUUID(),
  client: '민수',
  ...key,
})

let made = 0

const turn = (key: ConversationKey, input: string, at = 1): NewTurn => ({
  id: `resp_${String(made++).padStart(12, '0')}_${randomUUID()}`,
  key,
  input: { json: JSON.stringify({ role: 'user', content: input }), tokens: input.length },
  model: 'model',
  instructions: made % 2 === 0 ? 'be brief' : undefined,
  at,
})

const answer = (text: string, at = 2): FinishedTurn => ({
  answer: { json: JSON.stringify({ role: 'assistant', content: text }), tokens: text.length },
  incomplete: undefined,
  model: 'model-2026',
  usage: { input_tokens: 1, output_tokens: 2, total_tokens: 3 },
  at,
})

async function finish(
  store: Store,
  key: ConversationKey,
  input: string,
  text: string,
  { at = 1, answeredAt = 2 } = {},
): Promise<string> {
  const claim = await store.acceptAndClaim(turn(key, input, at), 9)
  expect(await store.commit(claim, answer(text, answeredAt))).toBe(true)
  return claim.turnId
}

const contents = (entries: readonly { content: string }[]): string[] => entries.map(({ content }) => content)
