import { expect, it } from 'vitest'
import type { ConversationKey } from '../../src/conversation/conversation.ts'
import { recordOf } from '../../src/conversation/new-turn.ts'
import type { Claim, NewTurn } from '../../src/conversation/store.ts'
import { historyOf } from '../support/history-of.ts'
import { answer, begin, commit, failure, someone, turn } from './samples.ts'
import type { StoreUnderTest } from './store-contract.ts'

/** What `Store` promises of turns by their ids and their idempotency keys. */
export function turnContract(open: () => Promise<StoreUnderTest>): void {
  it('shows a turn to its tenant in every status', async () => {
    const { store } = await open()
    const key = someone()
    const waiting = turn(key, 'waiting', 7)
    await store.accept(waiting, undefined)
    expect(await store.turn(key.tenant, waiting.id)).toEqual({ ...recordOf(waiting) })
    expect(await store.turn('another', waiting.id)).toBeUndefined()
    const claim = (await store.claim(waiting, 8, 9)) as Claim
    expect(await store.turn(key.tenant, waiting.id)).toMatchObject({ status: 'in_progress', startedAt: 8 })
    await commit(store, claim, { ...answer('answer', 10), pieces: [4, 2] })
    expect(await store.turn(key.tenant, waiting.id)).toEqual({
      ...recordOf(waiting),
      ...{
        status: 'completed',
        model: 'model-2026',
        text: 'answer',
        pieces: [4, 2],
        startedAt: 8,
        endedAt: 10,
      },
      usage: { input_tokens: 1, output_tokens: 2, total_tokens: 3 },
    })
    const other = await begin(store, turn(key, 'fails'))
    await store.end(other, failure(other.turnId, 'upstream_timeout'))
    expect(await store.turn(key.tenant, other.turnId)).toMatchObject({
      ...{ status: 'failed', text: 'half', pieces: [2, 2] },
      error: { code: 'upstream_timeout', message: 'because of upstream_timeout' },
    })
    expect(await store.hasTurn(key.tenant, waiting.id)).toBe(true)
    expect(await store.hasTurn('another', waiting.id)).toBe(false)
    await store.clear(key, 11)
    expect(await store.hasTurn(key.tenant, waiting.id)).toBe(false)
    expect(await store.turn(key.tenant, waiting.id)).toBeUndefined()
    expect(await store.turn(key.tenant, other.turnId)).toBeUndefined()
  })

  const keyed = (key: ConversationKey, fingerprint = 'same', at = 1): NewTurn => ({
    ...turn(key, 'keyed', at),
    idempotency: { key: 'the key', fingerprint },
  })

  it('takes one of many requests that bear one key at once', async () => {
    const { store } = await open()
    const key = someone()
    const all = await Promise.all(Array.from({ length: 20 }, () => store.accept(keyed(key), undefined)))
    expect(all.filter(({ existing }) => !existing)).toHaveLength(1)
    expect(new Set(all.map(({ turnId }) => turnId)).size).toBe(1)
  })

  it('refuses a key with another body, and keeps tenants apart', async () => {
    const { store, reopen } = await open()
    const key = someone()
    const first = await store.accept(keyed(key), undefined)
    await expect(store.accept(keyed(key, 'other'), undefined)).rejects.toMatchObject({
      code: 'idempotency_key_reused',
    })
    expect(await store.accept(keyed(someone(), 'other'), undefined)).toMatchObject({ existing: false })
    const again = await (await reopen()).accept(keyed(key), undefined)
    expect(again).toEqual({ existing: true, turnId: first.turnId })
  })

  it('forgets a key after a day', async () => {
    const { store } = await open()
    const [key, day] = [someone(), 24 * 60 * 60 * 1000]
    const first = await store.accept(keyed(key, 'same', 1), undefined)
    expect(await store.accept(keyed(key, 'other', day), undefined).catch(() => 'kept')).toBe('kept')
    const later = await store.accept(keyed(key, 'other', day + 2), undefined)
    expect(later).toMatchObject({ existing: false })
    expect(later.turnId).not.toBe(first.turnId)
  })

  it('tries again, as the same turn, what failed for a passing reason, and nothing else', async () => {
    const { store } = await open()
    for (const [code, again] of [
      ['upstream_timeout', true],
      ['server_restarted', true],
      ['context_length_exceeded', false],
    ] as const) {
      const key = someone()
      const claim = await begin(store, keyed(key))
      await store.end(claim, failure(claim.turnId, code))
      const accepted = await store.accept(keyed(key), 9)
      expect(accepted).toMatchObject({ existing: !again, turnId: claim.turnId })
      if (!accepted.existing)
        expect(await commit(store, accepted.claim as Claim, answer('at last'))).toBe(true)
      expect(await historyOf(store, key)).toHaveLength(again ? 2 : 0)
    }
    const key = someone()
    const cancelled = await begin(store, keyed(key))
    await store.end(cancelled, { ...failure(cancelled.turnId, 'turn_cancelled'), status: 'cancelled' })
    expect(await store.accept(keyed(key), 9)).toEqual({ existing: true, turnId: cancelled.turnId })
  })

  it('lets one that is tried again wait behind those who wait already', async () => {
    const { store, reopen } = await open()
    const key = someone()
    const first = await begin(store, keyed(key))
    await store.end(first, failure(first.turnId, 'upstream_error'))
    const waiting = turn(key, 'waiting')
    await store.accept(waiting, undefined)
    await store.accept(keyed(key), undefined)
    const queued = (await (await reopen()).takeOver('new', 5)).filter((one) => one.key.tenant === key.tenant)
    expect(queued.map(({ id }) => id)).toEqual([waiting.id, first.turnId])
  })
}
