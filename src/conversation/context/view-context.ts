import { preferring } from '../ask.ts'
import type { ConversationState } from '../client.ts'
import type { Fragment, ItemView, LateCount } from '../conversation.ts'
import { chooseContext } from './choose-context.ts'
import { roomForTurns } from './context-window.ts'
import { mended } from './past-run.ts'
import { keepLater } from './past-window.ts'
import { exact, tokensOf, uncounted } from './sizes.ts'
import { type Asked, requestOf, type TurnContextDeps } from './turn-context.ts'

/** How many turns are read at once. */
const page = 256

/** A run of turns, by the ids of the first and the last one. */
interface TurnRange {
  readonly first: string
  readonly last: string
  readonly turns: number
}

/** One message of a context: the very JSON that is sent, and where it comes from. */
interface ContextItem {
  readonly origin: 'instructions' | 'pinned' | 'summary' | 'verbatim'
  readonly id?: string
  readonly turnId?: string
  /** What a summary stands for. */
  readonly covers?: TurnRange
  readonly tokens: number
  readonly json: string
}

/** What a model would be sent now, before the next input. Sizes are tokens. */
export interface ContextView {
  readonly model: string
  readonly window: number
  /** Kept free for the answer. */
  readonly answer: number
  readonly items: readonly ContextItem[]
  readonly tokens: number
  /** What is left for the next input. */
  readonly room: number
  /** Turns that are neither sent nor summarised, for want of room. */
  readonly leftOut: TurnRange | undefined
  /** Pinned messages for which there is no room. */
  readonly pinsLeftOut: readonly string[]
}

/** What would be sent now, exactly, with what is left out. `state`: undefined for a client without a conversation. */
export async function viewContext(
  deps: TurnContextDeps,
  state: ConversationState | undefined,
  { model, settings }: Pick<Asked, 'model' | 'settings'>,
): Promise<ContextView> {
  const [target] = preferring(deps.models.targets(model, settings.fallback), state?.servedBy)
  if (target === undefined) throw new Error('a model has no target')
  const { countTokens, past } = deps
  const request = requestOf(deps, { input: uncounted('user', ''), settings }, target)
  const { limits } = request
  const now = state ?? nothing
  const context = await chooseContext(deps, now, request)
  const { instructions, pinned, summary, from } = context
  const items: ContextItem[] = []
  const add = async (origin: ContextItem['origin'], part: Fragment, ids: Partial<ContextItem>) => {
    const { tokens } = await exact(part, countTokens)
    items.push({ origin, ...ids, tokens, json: mended(part) })
  }
  if (instructions !== undefined) await add('instructions', instructions, {})
  for (const item of pinned) await add('pinned', item, idsOf(item))
  if (summary !== undefined) {
    const covers = await rangeOf(deps, now, summary.fromSeq, summary.toSeq)
    await add('summary', summary, { id: summary.id, ...(covers && { covers }) })
  }
  const counts: LateCount[] = []
  for (let at = from; at < now.nextSeq; at += page) {
    for (const item of await past.views(now, at, Math.min(at + page, now.nextSeq))) {
      await add('verbatim', item, idsOf(item))
      const { seq, position, counted } = item
      if (!counted) counts.push({ seq, position, tokens: items.at(-1)?.tokens ?? 0 })
    }
  }
  keepLater(past, now, counts)
  const tokens = tokensOf(items)
  const allPins = now.pins > 0 ? await past.pinned(now) : []
  return {
    ...{ model: target.name, ...request.own, items, tokens },
    room: Math.max(0, roomForTurns(limits, [tokens])),
    leftOut: await rangeOf(deps, now, from - context.leftOut, from),
    pinsLeftOut: allPins
      .filter(({ id, seq }) => seq < from && !items.some((item) => item.id === id))
      .map(({ id }) => id),
  }
}

const idsOf = ({ id, turnId }: ItemView) => ({ id, turnId })

async function rangeOf(
  { past }: TurnContextDeps,
  state: ConversationState,
  from: number,
  to: number,
): Promise<TurnRange | undefined> {
  if (from >= to) return undefined
  const [first] = await past.views(state, from, from + 1)
  const [last] = await past.views(state, to - 1, to)
  return first && last && { first: first.turnId, last: last.turnId, turns: to - from }
}

/** A conversation in which nothing was said. */
const nothing: ConversationState = {
  ...{ tenant: '', conversation: '', epoch: 0, firstSeq: 0, nextSeq: 0, compactedTo: 0, pins: 0 },
  servedBy: undefined,
}
