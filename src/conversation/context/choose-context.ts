import type { ConversationState } from '../client.ts'
import type { Compaction, Fragment, ItemView, PastRun } from '../conversation.ts'
import { DaehwaError } from '../errors.ts'
import type { CountTokens, Messages } from '../ports.ts'
import type { PastStore } from '../store.ts'
import { type Limits, roomForTurns } from './context-window.ts'
import { mended, noRun } from './past-run.ts'
import { oldestThatFits, oldestThatFitsCounted, steadyCut } from './past-window.ts'
import { exact, tokensOf, uncounted } from './sizes.ts'

export interface ContextDeps {
  readonly past: PastStore
  readonly countTokens: CountTokens
}

/** What a context is made for. */
export interface ContextRequest {
  /** For errors to name. */
  readonly model: string
  /** By which a past is chosen. */
  readonly limits: Limits
  /** The model's own: what is over them is refused. */
  readonly own: Limits
  readonly instructions: string | undefined
  readonly input: Fragment
  /** No more than so many tokens of past turns. */
  readonly cap?: number | undefined
}

/** What goes to the model for one turn, in the order in which it is sent. */
export interface Context {
  readonly instructions: Fragment | undefined
  readonly pinned: readonly ItemView[]
  readonly summary: Compaction | undefined
  readonly past: PastRun
  readonly input: Fragment
  /** Where the past begins: turns before it that no summary covers are left out. */
  readonly from: number
  /** Turns that are neither sent nor covered by the summary. */
  readonly leftOut: number
  readonly limits: Limits
}

/** @throws DaehwaError `context_length_exceeded` when instructions and input alone are too much for the model */
export async function checkFits(request: ContextRequest, countTokens: CountTokens): Promise<void> {
  await fixedParts(request, countTokens)
}

/**
 * Instructions, what is pinned, the summary of older turns, the newest whole turns that fit, the input. Nothing is
 * counted as long as everything fits by its bytes.
 *
 * @throws DaehwaError `context_length_exceeded`
 */
export async function chooseContext(
  deps: ContextDeps,
  state: ConversationState,
  request: ContextRequest,
): Promise<Context> {
  const { past, countTokens } = deps
  const { limits, cap = Number.POSITIVE_INFINITY } = request
  let parts: Parts = {
    ...(await fixedParts(request, countTokens)),
    pinned: state.pins > 0 ? await past.pinned(state) : [],
    summary: state.compactedTo > state.firstSeq ? await past.compaction(state) : undefined,
  }
  const start = Math.max(state.firstSeq, parts.summary?.toSeq ?? 0)
  let from = await oldestThatFits(deps, state, start, Math.min(cap, roomBeside(parts, limits)))
  if (from > start || roomBeside(parts, limits) < 0) {
    parts = dropUntilFits(await countParts(deps, state, parts), limits)
    from = await oldestThatFitsCounted(deps, state, start, Math.min(cap, roomBeside(parts, limits)))
    if (from > start) from = steadyCut(from, state.nextSeq)
  }
  const { instructions, pinned, summary, input } = parts
  return {
    instructions,
    pinned: pinned.filter(({ seq }) => seq < from),
    summary,
    past: from < state.nextSeq ? await past.run(state, from) : noRun,
    input,
    from,
    leftOut: from - Math.max(state.firstSeq, summary?.toSeq ?? 0),
    limits,
  }
}

/** The tokens, counted, that are left for past turns and their summary beside what always goes along. */
export async function roomForPast(
  deps: ContextDeps,
  state: ConversationState,
  request: ContextRequest,
): Promise<number> {
  const { past, countTokens } = deps
  const pinned = state.pins > 0 ? await past.pinned(state) : []
  const parts = await countParts(deps, state, { ...(await fixedParts(request, countTokens)), pinned })
  return Math.max(0, roomBeside(parts, request.limits))
}

/** A context as the messages of a request. */
export function messagesOf(context: Context): Messages {
  const { past, input } = context
  const messages: (string | Uint8Array)[] = partsBefore(context).map(mended)
  if (past.json.length > 0) messages.push(past.json)
  messages.push(mended(input))
  return messages
}

/** All that a context sends. */
export const fragmentsOf = (context: Context): Fragment[] => [...partsOf(context), ...context.past.items()]

/** The tokens of a context as far as they are known, and whether all of them are counted. */
export function sizeOf(context: Context): { tokens: number; counted: boolean } {
  const { past } = context
  const all = partsOf(context)
  return { tokens: past.tokens + tokensOf(all), counted: past.counted && all.every(({ counted }) => counted) }
}

type Parts = Pick<Context, 'instructions' | 'pinned' | 'summary' | 'input'>

async function fixedParts(request: ContextRequest, countTokens: CountTokens): Promise<Parts> {
  const { limits, own, model, instructions, input } = request
  const rough = {
    instructions: instructions === undefined ? undefined : uncounted('system', instructions),
    pinned: [],
    summary: undefined,
    input,
  }
  if (roomBeside(rough, limits) >= 0) return rough
  const counted = {
    ...rough,
    instructions: rough.instructions && (await exact(rough.instructions, countTokens)),
    input: await exact(input, countTokens),
  }
  const room = roomBeside(counted, own)
  if (room >= 0) return counted
  const needed = tokensOf(partsOf(counted))
  throw DaehwaError.of('context_length_exceeded', { needed, limit: needed + room, model })
}

/** The oldest pinned messages go first, then the summary: instructions and input fit by themselves. */
function dropUntilFits(parts: Parts, limits: Limits): Parts {
  let { pinned, summary } = parts
  while (roomBeside({ ...parts, pinned, summary }, limits) < 0 && pinned.length > 0) pinned = pinned.slice(1)
  if (roomBeside({ ...parts, pinned, summary }, limits) < 0) summary = undefined
  return { ...parts, pinned, summary }
}

async function countParts(
  { past, countTokens }: ContextDeps,
  state: ConversationState,
  { instructions, pinned, summary, input }: Parts,
): Promise<Parts> {
  const uncountedPins = new Set(pinned.filter(({ counted }) => !counted).map(({ id }) => id))
  const pins = await Promise.all(pinned.map((item) => exact(item, countTokens)))
  if (uncountedPins.size > 0) {
    past
      .keepCounts(
        state,
        pins.filter(({ id }) => uncountedPins.has(id)),
      )
      .catch(() => {}) // counted again then
  }
  return {
    instructions: instructions && (await exact(instructions, countTokens)),
    pinned: pins,
    summary: summary && (await exact(summary, countTokens)),
    input: await exact(input, countTokens),
  }
}

const roomBeside = (parts: Parts, limits: Limits): number => roomForTurns(limits, [tokensOf(partsOf(parts))])

function partsOf(parts: Parts): Fragment[] {
  const all = partsBefore(parts)
  all.push(parts.input)
  return all
}

/** What comes before past turns. */
function partsBefore({ instructions, pinned, summary }: Parts): Fragment[] {
  const before: Fragment[] = instructions === undefined ? [] : [instructions]
  before.push(...pinned)
  if (summary !== undefined) before.push(summary)
  return before
}
