import type { ConversationState } from '../client.ts'
import type { PastItem } from '../conversation.ts'
import type { Pace } from '../pacer.ts'
import type { Cleared, PastStore } from '../store.ts'
import { tokensOf } from './sizes.ts'

/** How much is remembered of all conversations together, in UTF-16 units of JSON, and what a message takes besides. */
const most = 16 * 1024 * 1024
const perMessage = 64
/** So many turns are read when their sizes are asked for: they are sent next. */
const short = 64

/** A turn with its messages, which are sizes too. */
interface RememberedTurn {
  readonly seq: number
  readonly sizes: PastItem[]
}

/** The newest turns of one conversation, without a gap: those from `from` on. A history only grows, until its epoch ends. */
interface Past {
  readonly epoch: number
  readonly from: number
  readonly next: number
  /** Oldest first, each at the place that is its `seq` less `from`. */
  readonly turns: readonly RememberedTurn[]
  readonly size: number
}

/**
 * A store that remembers the pasts that were sent last. What was read once of an epoch stays true, so a later turn
 * reads no more than what has come since; whoever asks says by the state of the conversation up to where. Those who read
 * turn by turn are paced.
 */
export function rememberingPasts<S extends PastStore>(store: S, pace: Pace): S {
  const pasts = new Map<string, Past>()
  let total = 0

  const forget = (conversation: string) => {
    total -= pasts.get(conversation)?.size ?? 0
    pasts.delete(conversation)
  }

  const known = ({ conversation, epoch, nextSeq }: ConversationState): Past | undefined => {
    const past = pasts.get(conversation)
    if (past === undefined || (past.epoch === epoch && past.next <= nextSeq)) return past
    if (past.epoch < epoch) forget(conversation)
    return undefined
  }

  const remember = (conversation: string, past: Past) => {
    forget(conversation)
    const kept = past.size > most / 2 ? newest(past, most / 4) : past
    pasts.set(conversation, kept)
    total += kept.size
    for (const oldest of pasts.keys()) {
      if (total <= most) break
      forget(oldest)
    }
  }

  const dropped = (cleared: Cleared): Cleared => {
    if (cleared.conversation !== undefined) forget(cleared.conversation)
    return cleared
  }

  /** The past up to where the state knows it: what is missing at its end is read. */
  const upToDate = async (state: ConversationState, past: Past): Promise<Past> => {
    if (past.next >= state.nextSeq) return past
    const fresh = await store.itemsFrom(state, past.next, state.nextSeq)
    const now = extended(past, fresh, state.nextSeq)
    remember(state.conversation, now)
    return now
  }

  const read = async (state: ConversationState, from: number): Promise<Past> => {
    const items = await store.itemsFrom(state, from, state.nextSeq)
    const past = extended({ epoch: state.epoch, from, next: from, turns: [], size: 0 }, items, state.nextSeq)
    remember(state.conversation, past)
    return past
  }

  return {
    ...store,
    async turnsBefore(state, beforeSeq, count) {
      await pace()
      const past = known(state)
      const from = Math.max(state.firstSeq, beforeSeq - count)
      if (past === undefined || from < past.from) return store.turnsBefore(state, beforeSeq, count)
      const { turns, from: first } = await upToDate(state, past)
      return turns.slice(from - first, beforeSeq - first).reverse()
    },
    async views(state, from, to) {
      await pace()
      return store.views(state, from, to)
    },
    async tokensBetween(state, from, to) {
      await pace()
      let past = known(state)
      if (past === undefined && to === state.nextSeq && to - from <= short) past = await read(state, from)
      if (past === undefined || from < past.from) return store.tokensBetween(state, from, to)
      const { turns, from: first } = await upToDate(state, past)
      return turns.slice(from - first, to - first).reduce((total, { sizes }) => total + tokensOf(sizes), 0)
    },
    async itemsFrom(state, fromSeq, toSeq = state.nextSeq) {
      await pace()
      const past = known(state)
      const from = Math.max(state.firstSeq, fromSeq)
      if (past !== undefined && from >= past.from) {
        const { turns, from: first } = await upToDate(state, past)
        return turns.slice(from - first, Math.max(from, toSeq) - first).flatMap(({ sizes }) => sizes)
      }
      if (toSeq !== state.nextSeq) return store.itemsFrom(state, fromSeq, toSeq)
      return (await read(state, from)).turns.flatMap(({ sizes }) => sizes)
    },
    async keepCounts(state, counts) {
      const past = known(state)
      for (const { seq, position, tokens } of past === undefined ? [] : counts) {
        const item = past?.turns[seq - past.from]?.sizes.find((size) => size.position === position)
        if (item !== undefined) Object.assign(item, { tokens, counted: true })
      }
      await store.keepCounts(state, counts)
    },
    clear: async (key, at) => dropped(await store.clear(key, at)),
    forget: async (key, at, idleSince) => dropped(await store.forget(key, at, idleSince)),
  }
}

function extended(past: Past, fresh: readonly PastItem[], next: number): Past {
  const turns = [...past.turns]
  let { size } = past
  let last: RememberedTurn | undefined
  for (const item of fresh) {
    size += item.json.length + perMessage
    if (last?.seq !== item.seq) {
      last = { seq: item.seq, sizes: [] }
      turns.push(last)
    }
    last.sizes.push(item)
  }
  return { ...past, next, turns, size }
}

/** The newest turns of a past, as many as are no larger than `size`. */
function newest(past: Past, size: number): Past {
  let first = 0
  let left = past.size
  for (; left > size; first++) left -= sizeOf(past.turns[first])
  return { ...past, from: past.from + first, turns: past.turns.slice(first), size: left }
}

const sizeOf = (turn: RememberedTurn | undefined): number =>
  turn?.sizes.reduce((total, { json }) => total + json.length + perMessage, 0) ?? 0
