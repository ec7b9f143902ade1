import { startingWith } from '../ask.ts'
import type { ConversationState } from '../client.ts'
import type { Fragment } from '../conversation.ts'
import type { Target } from '../model-catalog.ts'
import type { Models } from '../models.ts'
import type { Log } from '../ports.ts'
import type { Settings } from '../settings.ts'
import type { Calibration } from './calibration.ts'
import {
  type Context,
  type ContextDeps,
  type ContextRequest,
  chooseContext,
  roomForPast,
  sizeOf,
} from './choose-context.ts'
import type { CompactionPlan, Compactor } from './compactor.ts'
import { type Limits, roomForTurns } from './context-window.ts'
import { oldestThatFitsCounted } from './past-window.ts'
import { uncounted } from './sizes.ts'

export interface TurnContextDeps extends ContextDeps {
  readonly models: Models
  readonly compactor: Compactor
  readonly calibration: Calibration
  readonly log: Log
  /** The model that summarises where a client has not chosen one; undefined: the one that answers. */
  readonly summaryModel: string | undefined
}

/** What a context is made from: a turn's input and the settings that hold for it. */
export interface Asked {
  readonly model: string
  readonly input: Fragment
  readonly settings: Settings
}

/** How full a window may get before older turns are summarised. */
const compactAt = 0.8
/** Of the tokens that a past may take before it is summarised, the share that stays as it is, and that of the summary. */
const share = { kept: 0.5, summary: 0.15 }
/** How long a summary is, in tokens, whatever the window. */
const summarySize = { min: 64, max: 2_000 }

export const requestOf = (
  { calibration }: Pick<TurnContextDeps, 'calibration'>,
  { input, settings }: Pick<Asked, 'input' | 'settings'>,
  target: Target,
): ContextRequest => ({
  model: target.name,
  limits: calibration.limits(target.name, limitsFor(target.limits, settings)),
  instructions: settings.instructions,
  input,
})

/**
 * The context of a turn for one model. Only where turns would be left out that no summary covers does it wait for one;
 * what cannot be summarised in time is left out.
 */
export async function contextFor(
  deps: TurnContextDeps,
  state: ConversationState,
  asked: Asked,
  target: Target,
  cap: number | undefined,
  signal: AbortSignal,
): Promise<Context> {
  const request = { ...requestOf(deps, asked, target), cap }
  const context = await chooseContext(deps, state, request)
  if (context.leftOut === 0 || cap !== undefined || asked.settings.compaction === 'off') return context
  deps.log.info({ conversation: state.conversation, turns: context.leftOut }, 'a turn waits for a summary')
  const plan = await planOf(deps, state, asked, request)
  const outcome = await untilAborted(deps.compactor.compact(state, plan), signal)
  return 'to' in outcome ? chooseContext(deps, { ...state, compactedTo: outcome.to }, request) : context
}

/** After a turn: summarises in the background when the conversation, with the new answer, fills its window too far. */
export async function compactWhenFull(
  deps: TurnContextDeps,
  state: ConversationState,
  asked: Asked,
  target: Target,
  context: Context,
  answer: Fragment,
): Promise<void> {
  const { compaction, compact_at: at = compactAt } = asked.settings
  if (compaction === 'off') return
  const request = requestOf(deps, asked, target)
  const usable = roomForTurns(request.limits, []) * at
  if (sizeOf(context).tokens + answer.tokens <= usable) return
  const empty = { ...request, input: uncounted('user', '') }
  const beside = roomForTurns(request.limits, []) - (await roomForPast(deps, state, empty))
  const room = Math.floor(usable - beside - (context.summary?.tokens ?? 0))
  const start = Math.max(state.firstSeq, context.summary?.toSeq ?? 0)
  if ((await oldestThatFitsCounted(deps, state, start, room)) === start) return
  await deps.compactor.compact(state, await planOf(deps, state, asked, empty))
}

/** What a compaction has to reach for a model. */
export async function planOf(
  { models, summaryModel, ...deps }: TurnContextDeps,
  state: ConversationState,
  { model, settings }: Asked,
  request: ContextRequest,
): Promise<CompactionPlan> {
  const room = (await roomForPast(deps, state, request)) * (settings.compact_at ?? compactAt)
  const keep = Math.max(0, Math.floor(room * share.kept))
  const size = Math.floor(room * share.summary)
  const chosen = settings.summary_model ?? summaryModel
  const targets = models.targets(chosen ?? model, settings.fallback)
  return {
    boundary: (now, start) => oldestThatFitsCounted(deps, now, start, keep),
    size: Math.min(summarySize.max, Math.max(summarySize.min, size)),
    // One that stands in does not wait for the one that has just failed.
    targets: chosen === undefined ? startingWith(targets, ({ name }) => name === request.model) : targets,
    patient: true,
  }
}

/** A turn that sets how long its answer may be needs no more room for it than that. */
function limitsFor(limits: Limits, { max_output_tokens: wanted }: Settings): Limits {
  if (wanted === undefined) return limits
  return { ...limits, answer: Math.min(wanted, Math.floor(limits.window / 2)) }
}

async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>()
  const onAbort = () => reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  if (signal.aborted) onAbort()
  try {
    return await Promise.race([work, promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
