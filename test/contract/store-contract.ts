import { describe, expect, it } from 'vitest'
import type { ConversationKey } from '../../src/conversation/conversation.ts'
import type { Claim, NewTurn, Store } from '../../src/conversation/store.ts'
import { historyOf } from '../support/history-of.ts'
import { clientContract } from './client-contract.ts'
import { instanceContract } from './instance-contract.ts'
import { raceContract } from './race-contract.ts'
import { answer, begin, commit, contents, failure, finish, ofAnother, someone, turn } from './samples.ts'
import { turnContract } from './turn-contract.ts'
import { usageContract } from './usage-contract.ts'

/** What a database must let the suite do to it. */
export interface StoreUnderTest {
  readonly store: Store
  /** Whether others may have the database too. */
  readonly shared: boolean
  /** Closes the store and opens it again on the same data. */
  reopen(): Promise<Store>
}

const modelOf = async (store: Store, key: ConversationKey) =>
  (await store.settings(key)).client?.settings.model

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
      expect(await historyOf(store, key)).toMatchObject([
        { turnId: id, role: 'user', content: '안녕 😀 "quoted"\n', at: 1_000 },
        { turnId: id, role: 'assistant', content: 'Hello\u0001 back', at: 2_000 },
      ])
    })

    it('knows nothing of a client that nobody has written to', async () => {
      const { store } = await open()
      expect(await historyOf(store, someone())).toEqual([])
      expect(await modelOf(store, someone())).toBeUndefined()
      expect(await store.clear(someone(), 1)).toEqual({ messages: 0, turns: [], conversation: undefined })
    })

    it('keeps tenants apart that use one name', async () => {
      const { store } = await open()
      const [a, b] = [someone({ client: 'same' }), someone({ client: 'same' })]
      await finish(store, a, 'of a', 'to a')
      await store.updateClient(a, { model: 'model-a' }, 1)
      expect(await historyOf(store, b)).toEqual([])
      expect(await modelOf(store, b)).toBeUndefined()
      await finish(store, b, 'of b', 'to b')
      expect(await store.clear(b, 1)).toMatchObject({ messages: 2, turns: [] })
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
      await store.updateClient(key, { model: 'one' }, 1)
      await finish(store, key, 'a', 'b')
      await store.updateClient(key, { model: 'two' }, 2)
      await store.clear(key, 3)
      expect(await modelOf(store, key)).toBe('two')
    })

    it('gives past turns newest first and whole, from where it is asked', async () => {
      const { store } = await open()
      const key = someone()
      for (let n = 0; n < 5; n++) await finish(store, key, `q${n}`, `a${n}`)
      const claim = await begin(store, turn(key, 'now'))
      expect([claim.firstSeq, claim.nextSeq]).toEqual([0, 5])
      const size = { tokens: 2, counted: true }
      expect(await store.turnsBefore(claim, 4, 2)).toEqual([
        { seq: 3, sizes: [size, size] },
        { seq: 2, sizes: [size, size] },
      ])
      const items = await store.itemsFrom(claim, 3)
      expect(items.map(({ json }) => JSON.parse(json).content)).toEqual(['q3', 'a3', 'q4', 'a4'])
      expect(items.map(({ tokens }) => tokens)).toEqual([2, 2, 2, 2])
      expect(await store.itemsFrom(claim, 2, 3)).toHaveLength(2)
      expect(await store.turnsBefore(claim, 1, 64)).toHaveLength(1)
      expect(await store.turnsBefore(claim, 0, 64)).toEqual([])
    })

    it('keeps a size that was counted later', async () => {
      const { store } = await open()
      const key = someone()
      const first = await begin(store, turn(key, 'q'))
      await commit(store, first, { ...answer('a'), tokens: 9, counted: false })
      const claim = await begin(store, turn(key, 'now'))
      const sizes = async () => (await store.turnsBefore(claim, 1, 1))[0]?.sizes
      expect(await sizes()).toEqual([
        { tokens: 1, counted: true },
        { tokens: 9, counted: false },
      ])
      await store.keepCounts(claim, [{ seq: 0, position: 1, tokens: 3 }])
      expect(await sizes()).toEqual([
        { tokens: 1, counted: true },
        { tokens: 3, counted: true },
      ])
      expect((await store.itemsFrom(claim, 0)).map(({ counted }) => counted)).toEqual([true, true])
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
      const claim = await begin(store, turn(key, 'lost'))
      await store.end(claim, failure(claim.turnId, 'upstream_bad_response'))
      expect(await historyOf(store, key)).toEqual([])
      expect(await commit(store, claim, answer('too late'))).toBe(false)
      expect((await begin(store, turn(key, 'next'))).nextSeq).toBe(0)
      expect(await historyOf(store, key)).toEqual([])
    })

    it('commits once', async () => {
      const { store } = await open()
      const key = someone()
      const claim = await begin(store, turn(key, 'q'))
      const results = await Promise.all([
        commit(store, claim, answer('a')),
        commit(store, claim, answer('a')),
      ])
      expect(results.toSorted()).toEqual([false, true])
      expect(await historyOf(store, key)).toHaveLength(2)
    })

    it('discards the commit of one who lost the conversation to a newer claim', async () => {
      const { store } = await open()
      const key = someone()
      const old = await begin(store, turn(key, 'old'))
      const newer = await begin(store, turn(key, 'new'))
      expect(newer.fence).toBeGreaterThan(old.fence)
      expect(await commit(store, old, answer('old'))).toBe(false)
      await store.end(old, failure(old.turnId, 'internal_error'))
      expect(await commit(store, newer, answer('new'))).toBe(true)
      expect(contents(await historyOf(store, key))).toEqual(['new', 'new'])
    })

    it('ends a turn whose conversation has gone on to another, but not one that another owner runs', async () => {
      const { store } = await open()
      const key = someone()
      const old = await begin(store, turn(key, 'old'))
      const newer = await begin(store, turn(key, 'new'))
      await store.end(old, failure(old.turnId, 'storage_full'))
      expect(await store.turn(key.tenant, old.turnId)).toMatchObject({ status: 'failed' })
      await store.end({ ...newer, fence: old.fence }, failure(newer.turnId, 'storage_full'))
      expect(await commit(store, newer, answer('new'))).toBe(true)
    })

    it('marks an answer that was cut short', async () => {
      const { store } = await open()
      const key = someone()
      const claim = await begin(store, turn(key, 'q'))
      await commit(store, claim, { ...answer('half'), incomplete: 'max_output_tokens' })
      expect((await historyOf(store, key)).map(({ incomplete }) => incomplete)).toEqual([
        undefined,
        'max_output_tokens',
      ])
    })

    it('leaves no turn behind that had ended, with an answer or without', async () => {
      const { store } = await open()
      const key = someone()
      const other = someone({ tenant: key.tenant, client: 'other' })
      const ids: string[] = []
      for (const one of [key, other]) {
        ids.push(await finish(store, one, 'q', 'a'))
        const claim = await begin(store, turn(one, 'q', 3))
        await store.end(claim, { ...failure(claim.turnId, 'upstream_error'), createdAt: 3, endedAt: 4 })
        ids.push(claim.turnId)
      }
      await store.clear(key, 5)
      const found = await Promise.all(ids.map((id) => store.turn(key.tenant, id)))
      expect(found.map((record) => record?.status)).toEqual([undefined, undefined, 'completed', 'failed'])
    })

    it('lets nothing that was erased come back', async () => {
      const { store } = await open()
      const key = someone()
      await finish(store, key, 'q', 'a')
      const running = await begin(store, turn(key, 'running'))
      const waiting = turn(key, 'waiting')
      await store.accept(waiting, undefined)
      expect(await store.clear(key, 5)).toMatchObject({ messages: 2, turns: [running.turnId, waiting.id] })
      expect(await commit(store, running, answer('ghost'))).toBe(false)
      expect(await store.claim(waiting, 6, 9)).toBe('gone')
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
      await store.accept(waiting, undefined)
      await store.accept(other, undefined)
      const running = await begin(store, turn(someone(), 'running'))
      const end = (one: NewTurn) => store.endQueued(one, failure(one.id, 'storage_full'))
      expect(await end(ofAnother(other))).toBe(false)
      expect(await end({ ...other, owner: 'there' })).toBe(false)
      expect(await end(waiting)).toBe(true)
      expect(await end(waiting)).toBe(false)
      expect(await end({ ...waiting, id: running.turnId })).toBe(false)
      expect(await store.claim(waiting, 4, 9)).toBe('gone')
      expect(await commit(store, running, answer('still'))).toBe(true)
      expect((await (await reopen()).takeOver('new', 5)).map(({ id }) => id)).toContain(other.id)
    })

    it('gives a history in pages that stay small, however large its messages are', async () => {
      const { store } = await open()
      const key = someone()
      for (let n = 0; n < 5; n++) {
        const claim = await begin(store, turn(key, `q${n}`))
        await commit(store, claim, { ...answer(`a${n}`), tokens: 150_000 })
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
      await store.accept(waiting, undefined)
      expect(await store.claim(ofAnother(waiting), 2, 9)).toBe('gone')
      const claims = await Promise.all([1, 2].map(() => store.claim(waiting, 2, 9)))
      expect(claims.filter((claim) => typeof claim === 'object')).toHaveLength(1)
      expect(await store.claim(waiting, 2, 9)).toBe('gone')
    })

    it('has everything after it is opened again, and says what was cut off', async () => {
      const { store, reopen } = await open()
      const key = someone()
      await finish(store, key, 'q', 'a')
      await store.updateClient(key, { model: 'chosen' }, 1)
      const running = await begin(store, turn(key, 'running'))
      const waiting = [turn(key, 'first'), turn(key, 'second')]
      for (const one of waiting) await store.accept(one, undefined)
      const again = await reopen()
      const found = (await again.takeOver('new', 5)).filter(({ key: { tenant } }) => tenant === key.tenant)
      expect(found).toEqual(
        waiting.map(({ id, input, model, settings, at }) => ({
          ...{ id, key, input, model, settings, at, owner: 'new' },
          place: expect.any(String),
        })),
      )
      expect(await commit(again, running, answer('ghost'))).toBe(false)
      expect(contents(await historyOf(again, key))).toEqual(['q', 'a'])
      expect(await modelOf(again, key)).toBe('chosen')
      const [next] = found
      const claim = next && (await again.claim(next, 6, 9))
      expect(await commit(again, claim as Claim, answer('at last'))).toBe(true)
      expect(contents(await historyOf(again, key))).toEqual(['q', 'a', 'first', 'at last'])
    })

    it('undoes alone what fails among others that are written at once', async () => {
      const { store } = await open()
      const key = someone()
      const other = { ...key, client: 'other' }
      const twice = turn(key, 'twice')
      const results = await Promise.allSettled([
        begin(store, turn(other, 'fine')),
        store.accept(twice, undefined),
        store.accept(twice, undefined),
        store.updateClient(other, { model: 'fine' }, 1),
      ])
      const [fine, one, same, alsoFine] = results.map(({ status }) => status)
      expect([fine, alsoFine]).toEqual(['fulfilled', 'fulfilled'])
      expect([one, same].toSorted()).toEqual(['fulfilled', 'rejected'])
      expect(await modelOf(store, other)).toBe('fine')
    })

    it('lists clients that were active at one time by the bytes of their names', async () => {
      const { store } = await open()
      const { tenant } = someone()
      const names = ['a', 'B', 'Z', 'é', '가', 'ㄱ', '🙂', '\uff5a', 'a b', 'a-b', '_']
      for (const client of names) await store.updateClient({ tenant, client }, {}, 5)
      const bytes = names.map((name) => Buffer.from(name)).toSorted(Buffer.compare)
      const listed: string[] = []
      let cursor: string | undefined
      do {
        const page = await store.clients(tenant, { prefix: '', limit: 4, cursor })
        listed.push(...page.clients.map(({ name }) => name))
        cursor = page.next
      } while (cursor !== undefined)
      expect(listed).toEqual(bytes.reverse().map(String))
      const begins = await store.clients(tenant, { prefix: 'a', limit: 9, cursor: undefined })
      expect(begins.clients.map(({ name }) => name)).toEqual(['a-b', 'a b', 'a'])
    })

    it('knows a cursor that is none', async () => {
      const { store } = await open()
      for (const place of [[1.5, 'a'], [1e300, 'a'], [1, 'a\0'], ['1', 'a'], 7]) {
        const cursor = Buffer.from(JSON.stringify(place)).toString('base64url')
        await expect(store.clients(someone().tenant, { prefix: '', limit: 4, cursor })).rejects.toMatchObject(
          { code: 'invalid_request' },
        )
      }
    })

    turnContract(open)
    clientContract(open)
    usageContract(open)
    raceContract(open)
    instanceContract(open)

    it('answers a ping', async () => {
      await expect((await open()).store.ping()).resolves.toBeUndefined()
    })
  })
}
