import { randomUUID } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import { expect, it } from 'vitest'
import type { ConversationKey } from '../../src/conversation/conversation.ts'
import type { TakenTurn } from '../../src/conversation/instance-store.ts'
import type { Accepted, Claim, NewTurn, Store } from '../../src/conversation/store.ts'
import { historyOf } from '../support/history-of.ts'
import { answer, commit, contents, failure, someone, turn } from './samples.ts'
import type { StoreUnderTest } from './store-contract.ts'

const long = 60_000

const ofTenant = (turns: readonly TakenTurn[], { tenant }: ConversationKey) =>
  turns.filter(({ key }) => key.tenant === tenant).map(({ id }) => id)

const shown = ({ id, key: { tenant } }: NewTurn) => ({ tenant, id })

const claimOf = (accepted: Accepted): Claim | undefined => (accepted.existing ? undefined : accepted.claim)

/** Two instances that have joined. */
async function two(store: Store): Promise<[a: string, b: string]> {
  const names: [string, string] = [`a ${randomUUID()}`, `b ${randomUUID()}`]
  for (const name of names) await store.join(name, long)
  return names
}

/** What `Store` promises when several instances use it. They take turns here, step by step. */
export function instanceContract(open: () => Promise<StoreUnderTest>): void {
  it('renews the lease of an instance until it is taken for dead', async () => {
    const { store } = await open()
    const [a, b] = await two(store)
    expect(await store.renew(a, 1)).toBe(true)
    await wait(20)
    expect(await store.renew(a, long)).toBe(false)
    expect(await store.renew(b, long)).toBe(true)
    await store.leave(b)
    expect(await store.renew(b, long)).toBe(false)
  })

  it('gives a conversation to one instance at a time, and then to whoever was accepted next', async () => {
    const { store } = await open()
    const [a, b] = await two(store)
    const key = someone()
    const [first, second, third] = [a, b, a].map((owner, n) => ({ ...turn(key, `q${n}`), owner }))
    const claim = claimOf(await store.accept(first as NewTurn, 9)) as Claim
    expect(claimOf(await store.accept(second as NewTurn, 9))).toBeUndefined()
    expect(claimOf(await store.accept(third as NewTurn, 9))).toBeUndefined()
    expect(await store.claim(second as NewTurn, 2, 9)).toBe('wait')
    expect(await store.claim({ ...(second as NewTurn), owner: a }, 2, 9)).toBe('gone')
    await commit(store, claim, answer('a0'))
    expect(await store.claim(third as NewTurn, 2, 9)).toBe('wait')
    expect(claimOf(await store.accept({ ...turn(key, 'q3'), owner: a }, 9))).toBeUndefined()
    const next = await store.claim(second as NewTurn, 2, 9)
    expect(next).toMatchObject({ turnId: second?.id, fence: claim.fence + 1, nextSeq: 1 })
    expect(await store.claim(third as NewTurn, 2, 9)).toBe('wait')
    await store.end(next as Claim, failure(second?.id ?? '', 'upstream_error'))
    expect(await store.claim(third as NewTurn, 2, 9)).toMatchObject({ turnId: third?.id })
    expect(contents(await historyOf(store, key))).toEqual(['q0', 'a0'])
  })

  it('keeps the order in which turns were accepted, whatever the clocks of the instances say', async () => {
    const { store } = await open()
    const [a, b] = await two(store)
    const key = someone()
    const ids: string[] = []
    for (const [n, owner] of [a, b, a, b].entries()) {
      const one = { ...turn(key, `q${n}`, 1_000 - n), owner, id: `resp_${9 - n}_${randomUUID()}` }
      await store.accept(one, undefined)
      ids.push(one.id)
    }
    await store.leave(a)
    await store.leave(b)
    const [c] = await two(store)
    expect(ofTenant(await store.takeOver(c, 5), key)).toEqual(ids)
  })

  it('counts those that wait over all instances', async () => {
    const { store } = await open()
    const [a, b] = await two(store)
    const key = someone()
    const accept = (owner: string, maxWaiting: number) =>
      store.accept({ ...turn(key, 'q'), owner }, 9, { maxWaiting })
    const busy = (waiting: number) => ({
      ...{ code: 'conversation_busy', retryAfter: 5 },
      message: expect.stringMatching(waiting === 0 ? '^Another message' : `^${waiting} messages`),
    })
    expect(claimOf(await accept(a, 0))).toBeDefined()
    await expect(accept(b, 0)).rejects.toMatchObject(busy(0))
    await accept(b, 2)
    await accept(b, 2)
    await expect(accept(b, 2)).rejects.toMatchObject(busy(2))
    expect((await store.clear(key, 3)).turns).toHaveLength(3)
    expect(claimOf(await accept(b, 0))).toBeDefined()
  })

  it('lets an interrupting turn pass those that wait, a later one first, and asks the running one to stop', async () => {
    const { store, shared } = await open()
    const [a, b] = await two(store)
    const key = someone()
    const accept = async (owner: string, interrupt: boolean) => {
      const one = { ...turn(key, 'q'), owner }
      return { id: one.id, accepted: await store.accept(one, undefined, { interrupt }) }
    }
    const running = turn(key, 'running')
    await store.accept({ ...running, owner: a }, 9)
    const waiting = await accept(a, false)
    expect(await store.unended(a)).toContainEqual({ ...shown(running), cancelled: false, followed: false })
    const first = await accept(b, true)
    expect(first.accepted).toMatchObject({ claim: undefined, running: running.id })
    const second = await accept(a, true)
    expect(await store.unended(a)).toContainEqual({ ...shown(running), cancelled: true, followed: false })
    expect(await store.unended(a)).toContainEqual({
      tenant: key.tenant,
      id: waiting.id,
      cancelled: false,
      followed: false,
    })
    for (const name of [a, b]) await store.leave(name)
    const [c] = await two(store)
    const taken = await store.takeOver(c, 5)
    expect(ofTenant(taken, key)).toEqual([second.id, first.id, waiting.id])
    const [last, middle] = taken.filter(({ key: { tenant } }) => tenant === key.tenant).toReversed()
    if (!shared) return // who has the database alone keeps the order of what waits by itself
    expect(await store.claim(last as TakenTurn, 6, 9)).toBe('wait')
    expect(await store.claim(middle as TakenTurn, 6, 9)).toBe('wait')
  })

  it('takes over once what an instance leaves behind, however many do it at once, and its claims are worth nothing', async () => {
    const { store } = await open()
    const [a, b] = await two(store)
    const others = await two(store)
    const keys = Array.from({ length: 8 }, () => someone())
    const claims: Claim[] = []
    const waiting: NewTurn[] = []
    for (const key of keys) {
      claims.push(claimOf(await store.accept({ ...turn(key, 'running'), owner: a }, 9)) as Claim)
      waiting.push({ ...turn(key, 'waiting'), owner: a })
      await store.accept(waiting.at(-1) as NewTurn, undefined)
    }
    const mine = claimOf(await store.accept({ ...turn(someone(), 'lives'), owner: b }, 9)) as Claim
    await store.leave(a)
    const taken = await Promise.all([b, ...others].map((instance) => store.takeOver(instance, 7)))
    const all = taken.flat().filter(({ key }) => keys.some(({ tenant }) => tenant === key.tenant))
    expect(all.map(({ id }) => id).toSorted()).toEqual(waiting.map(({ id }) => id).toSorted())
    for (const [n, claim] of claims.entries()) {
      expect(await store.turn(claim.tenant, claim.turnId)).toMatchObject({
        ...{ status: 'failed', endedAt: 7 },
        error: { code: 'server_restarted' },
      })
      expect(await commit(store, claim, answer('ghost'))).toBe(false)
      await store.end(claim, failure(claim.turnId, 'internal_error'))
      expect(await store.turn(claim.tenant, claim.turnId)).toMatchObject({
        error: { code: 'server_restarted' },
      })
      expect(await store.claim(waiting[n] as NewTurn, 8, 9)).toBe('gone')
    }
    for (const one of all) {
      const claim = await store.claim(one, 8, 9)
      expect(claim).toMatchObject({ fence: 3 })
      expect(await commit(store, claim as Claim, answer('done'))).toBe(true)
      expect(contents(await historyOf(store, one.key))).toEqual(['waiting', 'done'])
    }
    expect(await commit(store, mine, answer('done'))).toBe(true)
  })

  it('leaves a turn alone that was begun anew elsewhere since it was taken over', async () => {
    const { store } = await open()
    const [a, b] = await two(store)
    const key = someone()
    const keyed = (owner: string): NewTurn => ({
      ...{ ...turn(key, 'keyed'), owner },
      idempotency: { key: 'the key', fingerprint: 'same' },
    })
    const old = claimOf(await store.accept(keyed(a), 9)) as Claim
    await store.leave(a)
    await store.takeOver(b, 5)
    const again = await store.accept(keyed(b), undefined)
    expect(again).toMatchObject({ existing: false, turnId: old.turnId })
    await store.end(old, failure(old.turnId, 'server_restarted'))
    expect(await store.turn(key.tenant, old.turnId)).toMatchObject({ status: 'queued' })
    const claim = (await store.claim({ id: old.turnId, key, owner: b }, 6, 9)) as Claim
    await store.end(old, failure(old.turnId, 'server_restarted'))
    expect(await commit(store, old, answer('ghost'))).toBe(false)
    expect(await commit(store, claim, answer('true'))).toBe(true)
  })

  it("makes everybody's what an instance does not know of", async () => {
    const { store } = await open()
    const [a, b] = await two(store)
    const key = someone()
    const [running, waiting] = [turn(key, 'running'), turn(key, 'waiting')].map((one) => ({
      ...one,
      owner: a,
    }))
    await store.accept(running as NewTurn, 9)
    await store.accept(waiting as NewTurn, undefined)
    const unended = await store.unended(a)
    await store.disown(b, unended)
    expect(ofTenant(await store.takeOver(b, 5), key)).toEqual([])
    await store.disown(a, unended)
    expect(await store.claim(waiting as NewTurn, 5, 9)).toBe('gone')
    expect(ofTenant(await store.takeOver(a, 5), key)).toEqual([waiting?.id])
    expect(await store.turn(key.tenant, running?.id ?? '')).toMatchObject({ status: 'failed' })
    expect(await store.claim(waiting as NewTurn, 5, 9)).toMatchObject({ turnId: waiting?.id })
  })

  it('cancels for another instance: what waits has ended at once, what runs is asked to', async () => {
    const { store } = await open()
    const [a] = await two(store)
    const key = someone()
    const [running, waiting] = [turn(key, 'running'), turn(key, 'waiting')].map((one) => ({
      ...one,
      owner: a,
    }))
    const claim = claimOf(await store.accept(running as NewTurn, 9)) as Claim
    await store.accept(waiting as NewTurn, undefined)
    for (const one of [running, waiting]) {
      await store.requestCancel('another', one?.id ?? '', 5)
      expect(await store.turn(key.tenant, one?.id ?? '')).not.toMatchObject({ status: 'cancelled' })
      await store.requestCancel(key.tenant, one?.id ?? '', 5)
    }
    expect(await store.unended(a)).toEqual([
      { tenant: key.tenant, id: running?.id, cancelled: true, followed: false },
    ])
    expect(await store.turn(key.tenant, waiting?.id ?? '')).toMatchObject({
      ...{ status: 'cancelled', endedAt: 5 },
      error: { code: 'turn_cancelled' },
    })
    expect(await store.claim(waiting as NewTurn, 6, 9)).toBe('gone')
    expect(await commit(store, claim, answer('came first'))).toBe(true)
    await store.requestCancel(key.tenant, claim.turnId, 7)
    expect(await store.turn(key.tenant, claim.turnId)).toMatchObject({ status: 'completed' })
  })

  it('accepts what comes to many instances at once in one order, and runs one after the other', async () => {
    const { store } = await open()
    const key = someone()
    const owners = (await Promise.all(Array.from({ length: 10 }, () => two(store)))).flat()
    const turns = owners.map((owner, n) => ({ ...turn(key, `${n}`), owner }))
    const places = new Map<string, string>()
    let running = 0
    await Promise.all(
      turns.map(async (one) => {
        const accepted = await store.accept(one, 9)
        if (accepted.existing) throw new Error('nobody was before it')
        places.set(accepted.place, one.id)
        let claim: Claim | 'wait' | 'gone' = accepted.claim ?? 'wait'
        while (claim === 'wait') {
          claim = await store.claim(one, 2, 9)
          if (claim === 'wait') await wait(5)
        }
        if (claim === 'gone') throw new Error('nobody ended it')
        expect(++running).toBe(1)
        await wait(1)
        running--
        expect(await commit(store, claim, answer('a'))).toBe(true)
      }),
    )
    const ran = (await historyOf(store, key)).map(({ turnId }) => turnId)
    const inOrder = [...places].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, id]) => id)
    expect(ran.filter((_, n) => n % 2 === 0)).toEqual(inOrder)
  })

  it('keeps what has come of a turn that is followed, for its owner and as long as it runs', async () => {
    const { store } = await open()
    const [a, b] = await two(store)
    const key = someone()
    const asked = { ...turn(key, 'q'), owner: a } as NewTurn
    const claim = claimOf(await store.accept(asked, 9)) as Claim
    const running = { tenant: key.tenant, id: asked.id, createdAt: asked.at, owner: a }
    const followed = async () =>
      (await store.unended(a)).filter(({ id }) => id === asked.id).map((one) => one.followed)
    expect(await followed()).toEqual([false])
    await store.markFollowed(key.tenant, asked.id)
    await store.markFollowed('another tenant', asked.id)
    expect(await followed()).toEqual([true])
    const come = { text: 'one 둘 ', pieces: [4, 2], reasoning: 'hm' }
    await store.keepProgress({ ...running, owner: b }, { ...come, text: 'not ' })
    await store.keepProgress({ ...running, createdAt: 99 }, { ...come, text: 'not ' })
    await store.keepProgress(running, come)
    expect(await store.turn(key.tenant, asked.id)).toMatchObject({ status: 'in_progress', ...come })
    await commit(store, claim, answer('one 둘 three'))
    await store.keepProgress(running, come)
    expect(await store.turn(key.tenant, asked.id)).toMatchObject({ text: 'one 둘 three', reasoning: '' })
  })

  it.each(['clear', 'forget', 'take over'] as const)('forgets what had come of a turn at %s', async (how) => {
    const { store } = await open()
    const [a, b] = await two(store)
    const key = someone()
    const asked = { ...turn(key, 'q'), owner: a } as NewTurn
    await store.accept(asked, 9)
    const come = { text: 'said', pieces: [4], reasoning: 'thought' }
    const running = { tenant: key.tenant, id: asked.id, createdAt: asked.at, owner: a }
    await store.keepProgress(running, come)
    if (how === 'take over') {
      await store.leave(a)
      await store.takeOver(b, 5)
    } else await store[how](key, 5)
    const left = await store.turn(key.tenant, asked.id)
    expect(left).toMatchObject({ text: '', pieces: [], reasoning: '' })
    expect(await store.hasTurn(key.tenant, asked.id)).toBe(how === 'take over')
  })
}
