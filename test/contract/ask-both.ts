import { expect } from 'vitest'
import type { Claim, NewTurn, Store } from '../../src/conversation/store.ts'
import { answer, commit, failure, turn } from './samples.ts'

const tenant = 'acme'
const names = ['kim', 'lee', 'park']
/** A turn holds some 1,000 until it ends, and takes up to 35. */
const limits = { tokens_per_day: 2_250, turns_at_once: 3, client_tokens_per_day: 1_120 }
const day = 86_400_000

/** As text, in which ids that are drawn by chance are numbered as they come. */
export function numbered(value: unknown): string {
  const seen = new Map<string, string>()
  return JSON.stringify(value, null, 1).replace(
    /(conv|msg)_[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g,
    (id) => {
      seen.set(id, seen.get(id) ?? `id ${seen.size}`)
      return seen.get(id) ?? ''
    },
  )
}

/** Numbers by chance that are the same each time (mulberry32). */
export function chance(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % below
  }
}

const settled = <T>(done: Promise<T>): Promise<unknown> =>
  done.then(
    (value) => value ?? 'nothing',
    (error: { code?: string; message: string }) => `thrown: ${error.code ?? error.message}`,
  )

async function all<T>(pages: AsyncIterable<readonly T[]>): Promise<T[]> {
  const found: T[] = []
  for await (const page of pages) found.push(...page)
  return found
}

/** A turn that has not ended, and the claim that each store gave on it. */
export type Open = { readonly one: NewTurn; readonly claims: readonly (Claim | undefined)[] }

/** Does something by chance to both stores. */
export async function step(
  stores: readonly [Store, Store],
  draw: (below: number) => number,
  at: number,
  open: Open[],
) {
  const key = { tenant, client: names[draw(names.length)] ?? '' }
  const each = async (ask: (store: Store, n: number) => Promise<unknown>) => {
    const [journaled, plain] = [await settled(ask(stores[0], 0)), await settled(ask(stores[1], 1))]
    expect(numbered(journaled)).toBe(numbered(plain))
    return [journaled, plain]
  }
  const chosen = open[draw(Math.max(1, open.length))]
  const what = draw(20)
  if (what < 8) {
    const kind = draw(6)
    const account = draw(2) === 0 ? {} : { apiKey: 'key_1', ...(draw(2) === 0 && { limits }) }
    const idempotency = kind === 0 ? { key: `k${draw(3)}`, fingerprint: `${draw(2)}` } : undefined
    const one = { ...turn(key, `q${at}`, at), ...account, idempotency }
    const deadline = kind === 1 ? undefined : at + day
    const line = { maxWaiting: 3, interrupt: kind === 2 }
    const results = await each((store) => store.accept(one, deadline, line))
    const claims = results.map((result) => (result as { claim?: Claim }).claim)
    const existing = (results[0] as { existing?: boolean }).existing !== false
    if (!existing) open.push({ one, claims })
  } else if (what < 14 && chosen !== undefined) {
    const { one, claims } = chosen
    const claimed = await Promise.all(
      stores.map(async (store, n) => claims[n] ?? (await store.claim(one, at, at + day))),
    )
    const [first] = claimed
    if (typeof first === 'string') return
    open.splice(open.indexOf(chosen), 1)
    const charge = {
      key: one.key,
      apiKey: one.apiKey,
      model: 'm',
      input: 5,
      output: draw(30),
      estimated: draw(2) === 0,
      at,
    }
    const said = {
      ...answer(`a${at}`, at),
      ...(draw(3) === 0 && { reasoning: 'hm' }),
      ...(draw(3) === 0 && { servedBy: 'x' }),
    }
    await each((store, n) =>
      what === 13
        ? store.end(claimed[n] as Claim, failure(one.id, 'upstream_error'), charge)
        : commit(store, claimed[n] as Claim, said, charge),
    )
  } else await each((store) => ask(store, what, key, chosen, at))
}

async function ask(
  store: Store,
  what: number,
  key: { tenant: string; client: string },
  chosen: Open | undefined,
  at: number,
): Promise<unknown> {
  const { client } = await store.settings(key)
  switch (what) {
    case 14:
      return all(store.history(key))
    case 15:
      return [
        client,
        await store.usage({
          tenant,
          client: undefined,
          from: 0,
          to: 9,
          by: ['client_name', 'key'],
          limit: 99,
        }),
      ]
    case 16:
      return [
        chosen && (await store.turn(tenant, chosen.one.id)),
        await store.clients(tenant, { prefix: '', limit: 9, cursor: undefined }),
      ]
    case 17:
      if (client === undefined) return undefined
      return [
        await store.itemsFrom(client.state, client.state.firstSeq),
        await store.turnsBefore(client.state, client.state.nextSeq, 3),
        await store.tokensBetween(client.state, client.state.firstSeq, client.state.nextSeq),
      ]
    case 18:
      return at % 3 === 0 ? store.clear(key, at) : store.updateClient(key, { model: `m${at}` }, at)
    case 19:
      return at % 4 === 0 ? store.forget(key, at) : chosen && store.requestCancel(tenant, chosen.one.id, at)
    default:
      return undefined
  }
}
