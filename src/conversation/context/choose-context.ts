import type { ConversationState } from '../client.ts'
import { DaehwaError } from '../errors.ts'
import type { CountTokens } from '../ports.ts'
import type { PastStore } from '../store.ts'
import {
  type Context,
  type ContextRequest,
  type Parts,
  partsOf,
  roomBeside,
  uncountedParts,
} from './context.ts'
import type { Limits } from './context-window.ts'
import type { Memory } from './past-cache.ts'
import { noRun } from './past-run.ts'
import { oldestThatFits, oldestThatFitsCounted, steadyCut } from './past-window.ts'
import { exact, tokensOf } from './sizes.ts'

export interface ContextDeps {
  readonly past: PastStore
  readonly countTokens: CountTokens
}

/** @throws DaehwaError `context_length_exceeded` when instructions and input alone are too much for the model */
export async function checkFits(request: ContextRequest, countTokens: CountTokens): Promise<void> {
  await fixedParts(request, countTokens)
}

/** What `chooseContext` chooses where nothing is pinned or summarised, and all is in memory and fits by its bytes; or undefined. */
export function contextInMemory(
  memory: Memory,
  state: ConversationState,
  request: ContextRequest,
): Context | undefined {
  const { firstSeq: from } = state
  const { limits, cap = Number.POSITIVE_INFINITY } = request
  if (state.pins > 0 || state.compactedTo > from) return undefined
  const parts = uncountedParts(request)
  const past = memory.remembered(state, from, Math.min(cap, roomBeside(parts, limits)))
  return past && { ...parts, past, from, leftOut: 0, limits }
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

async function fixedParts(request: ContextRequest, countTokens: CountTokens): Promise<Parts> {
  const { limits, own, model } = request
  const rough = uncountedParts(request)
  if (roomBeside(rough, limits) >= 0) return rough
  const counted = {
    ...rough,
    instructions: rough.instructions && (await exact(rough.instructions, countTokens)),
    input: await exact(rough.input, countTokens),
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
