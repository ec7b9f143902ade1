import type { ConversationState } from '../client.ts'
import type { Fragment, LateCount, PastTurn } from '../conversation.ts'
import type { CountTokens } from '../ports.ts'
import type { PastStore } from '../store.ts'
import { countThatFit } from './context-window.ts'
import { exact, farTooLong, sum } from './sizes.ts'

/** How many turns are looked at at a time. */
const page = 64
/** How many sizes are written at a time: some milliseconds. */
const keptAtOnce = 512

export interface PastDeps {
  readonly past: Pick<PastStore, 'tokensBetween' | 'turnsBefore' | 'itemsFrom' | 'keepCounts'>
  readonly countTokens: CountTokens
}

/**
 * The place of the oldest turn, not before `start`, of those that fit into `room` tokens, by sizes as they are known.
 * Bodies are not read: what is left out may be large. Runs of turns that grow are summed up first, then the last one,
 * which does not fit as a whole, is looked at turn by turn.
 */
export async function oldestThatFits(
  { past }: PastDeps,
  state: ConversationState,
  start: number,
  room: number,
): Promise<number> {
  let left = room
  let from = state.nextSeq
  for (let many = page; from > start; many *= 2) {
    const next = Math.max(start, from - many)
    const tokens = await past.tokensBetween(state, next, from)
    if (tokens > left) break
    left -= tokens
    from = next
  }
  while (from > start) {
    const turns = (await past.turnsBefore(state, from, Math.min(page, from - start))).map(tokensEach)
    const fitting = countThatFit(left, turns)
    from -= fitting
    if (fitting < turns.length || turns.length === 0) break
    left -= sum(turns.map(sum))
  }
  return from
}

/** The same by exact sizes. What had to be counted for it is kept, and need not be counted again. */
export async function oldestThatFitsCounted(
  deps: PastDeps,
  state: ConversationState,
  start: number,
  room: number,
): Promise<number> {
  const counts: LateCount[] = []
  let left = room
  let from = state.nextSeq
  search: while (from > start) {
    const turns = await deps.past.turnsBefore(state, from, Math.min(page, from - start))
    for (const turn of turns) {
      const counted = turn.sizes.every((s) => s.counted) || farTooLong(sum(tokensEach(turn)), left)
      left -= sum(tokensEach(counted ? turn : await countTurn(deps, state, turn, counts)))
      if (left < 0) break search
      from = turn.seq
    }
    if (turns.length === 0) break
  }
  keepLater(deps.past, state, counts)
  return from
}

/** Keeps sizes, some at a time. Those that cannot be kept are counted again: no reason to wait, or to fail. */
export function keepLater(
  past: Pick<PastStore, 'keepCounts'>,
  state: ConversationState,
  counts: readonly LateCount[],
): void {
  const keep = async () => {
    for (let at = 0; at < counts.length; at += keptAtOnce) {
      await past.keepCounts(state, counts.slice(at, at + keptAtOnce))
    }
  }
  keep().catch(() => {})
}

/**
 * Moves a cut to where it stays for some turns, so that the contexts of these begin alike and the upstream's prompt cache
 * is hit: to a multiple of a power of two, at the price of an eighth of the turns at most.
 */
export function steadyCut(from: number, next: number): number {
  const sent = next - from
  if (sent < 16) return from
  const step = 2 ** Math.floor(Math.log2(sent / 8))
  return Math.ceil(from / step) * step
}

async function countTurn(
  { past, countTokens }: PastDeps,
  state: ConversationState,
  { seq }: PastTurn,
  counts: LateCount[],
): Promise<PastTurn> {
  const sizes: Fragment[] = []
  for (const item of await past.itemsFrom(state, seq, seq + 1)) {
    const counted = await exact(item, countTokens)
    if (!item.counted && counted.counted)
      counts.push({ seq, position: item.position, tokens: counted.tokens })
    sizes.push(counted)
  }
  return { seq, sizes }
}

const tokensEach = ({ sizes }: PastTurn): number[] => sizes.map(({ tokens }) => tokens)
