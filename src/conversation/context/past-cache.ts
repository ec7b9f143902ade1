import type { ConversationState } from '../client.ts'
import type { Fragment, PastRun } from '../conversation.ts'
import type { Pace } from '../pacer.ts'
import type { Cleared, PastStore } from '../store.ts'
import { noRun } from './past-run.ts'
import {
  extended,
  itemsOf,
  newest,
  nothing,
  type Past,
  runFrom,
  sizeBetween,
  sizeOf,
  turnsOf,
} from './remembered-past.ts'

/** How much is remembered of all conversations together, in bytes. */
const most = 40 * 1024 * 1024
/** So many turns are read when their sizes are asked for: they are sent next. */
const short = 64

/** What is in memory of pasts. It never waits. */
export interface Memory {
  /**
   * All turns from one on; undefined where some would have to be read, where they are more than `most` tokens, or where others would
   * have to wait for too long.
   */
  remembered(state: ConversationState, fromSeq: number, most: number): PastRun | undefined
  /** A turn has entered the history that was in this state: where that is remembered, the turn is from here on. */
  entered(state: ConversationState, input: Fragment, answer: Fragment): void
}

/**
 * A store that remembers the pasts that were sent last. What was read once of an epoch stays true, and what is answered here is
 * remembered as it comes, so a later turn reads no more than what came elsewhere; whoever asks says by the state of the conversation
 * up to where. Those who read turn by turn are paced.
 *
 * `servers`: how many database servers were met so far. One that takes over may lack the last turns and get others in their place:
 * from there on what was remembered before does not count.
 */
export function rememberingPasts<S extends PastStore>(
  store: S,
  pace: Pace,
  servers: () => number,
): S & Memory {
  const pasts = new Map<string, Past>()
  let total = 0
  let met = servers()

  const forget = (conversation: string) => {
    const past = pasts.get(conversation)
    if (past !== undefined) total -= sizeOf(past)
    pasts.delete(conversation)
  }

  const known = ({ conversation, epoch, nextSeq }: ConversationState): Past | undefined => {
    if (servers() !== met) {
      met = servers()
      pasts.clear()
      total = 0
    }
    const past = pasts.get(conversation)
    if (past === undefined || (past.epoch === epoch && past.next <= nextSeq)) return past
    if (past.epoch < epoch) forget(conversation)
    return undefined
  }

  const remember = (conversation: string, past: Past) => {
    forget(conversation)
    const kept = sizeOf(past) > most / 2 ? newest(past, most / 4) : past
    pasts.set(conversation, kept)
    total += sizeOf(kept)
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
    const past = extended({ ...nothing, epoch: state.epoch, from, next: from }, items, state.nextSeq)
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
      return turnsOf(await upToDate(state, past), from, beforeSeq).reverse()
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
      return sizeBetween(await upToDate(state, past), from, to).tokens
    },
    async itemsFrom(state, fromSeq, toSeq = state.nextSeq) {
      await pace()
      const past = known(state)
      const from = Math.max(state.firstSeq, fromSeq)
      if (past !== undefined && from >= past.from) {
        return itemsOf(await upToDate(state, past), from, toSeq)
      }
      if (toSeq !== state.nextSeq) return store.itemsFrom(state, fromSeq, toSeq)
      return itemsOf(await read(state, from), from, toSeq)
    },
    async run(state, fromSeq) {
      await pace()
      const from = Math.max(state.firstSeq, fromSeq)
      const kept = known(state)
      const isShort = kept === undefined || from < kept.from
      return runFrom(await (isShort ? read(state, from) : upToDate(state, kept)), from)
    },
    remembered(state, fromSeq, most) {
      if (fromSeq >= state.nextSeq) return most < 0 ? undefined : noRun
      const past = known(state)
      if (past === undefined || fromSeq < past.from || past.next < state.nextSeq) return undefined
      const fits = sizeBetween(past, fromSeq, past.next).tokens <= most
      return fits && pace.atOnce() ? runFrom(past, fromSeq) : undefined
    },
    entered(state, input, answer) {
      const { conversation, nextSeq: seq } = state
      const past = known(state)
      if (past?.next !== seq) return
      const items = [input, answer].map((item, position) => ({ ...item, seq, position }))
      remember(conversation, extended(past, items, seq + 1))
    },
    async keepCounts(state, counts) {
      const past = known(state)
      for (const { seq, position, tokens } of counts) past?.marks.keep(seq, position, tokens)
      await store.keepCounts(state, counts)
    },
    clear: async (key, at) => dropped(await store.clear(key, at)),
    forget: async (key, at, idleSince) => dropped(await store.forget(key, at, idleSince)),
  }
}
