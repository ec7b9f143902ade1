import { startingWith } from '../ask.ts'
import type { ConversationState } from '../client.ts'
import type { Fragment } from '../conversation.ts'
import type { Target } from '../model-catalog.ts'
import type { Models } from '../models.ts'
import type { Observer } from '../observer.ts'
import type { Log } from '../ports.ts'
import type { Settings } from '../settings.ts'
import type { PastStore } from '../store.ts'
import type { Calibration } from './calibration.ts'
import { type ContextDeps, chooseContext, contextInMemory, roomForPast } from './choose-context.ts'
import type { CompactionPlan, Compactor } from './compactor.ts'
import { type Context, type ContextRequest, sizeOf } from './context.ts'
import { type Limits, roomForTurns } from './context-window.ts'
import type { Memory } from './past-cache.ts'
import { oldestThatFitsCounted } from './past-window.ts'
import { uncounted } from './sizes.ts'
import { tolerance } from './summarise.ts'

export interface TurnContextDeps extends ContextDeps {
  readonly past: PastStore & Memory
  readonly models: Models
  readonly compactor: Compactor
  readonly calibration: Calibration
  readonly log: Log
  readonly observer: Observer
  /** The model that summarises where a client has not chosen one; undefined: the one that answers. */
  readonly summaryModel: string | undefined
  /** The longest that a turn may run, in milliseconds. */
  readonly turnTimeout: number
}

/** What a context is made from: a turn's input and the settings that hold for it. */
export interface Asked {
  readonly model: string
  readonly input: Fragment
  readonly settings: Settings
}

/** How long a turn waits for a summary, in milliseconds; no longer than a quarter of its own time. */
const longestWait = 20_000
/** The share of a window that a past must have at least for a summary of it to make sense. */
const leastRoom = 1 / 4
/** How full a window may get, beside instructions and pins, before older turns are summarised. */
const compactAt = 0.8
/** Of the tokens that a past may take before it is summarised, the share that stays as it is, and that of the summary. */
const share = { kept: 0.5, summary: 0.15 }
/** How long a summary is, in tokens, whatever the window. */
const summarySize = { min: 64, max: 2_000 }

export const requestOf = (
  { calibration }: Pick<TurnContextDeps, 'calibration'>,
  { input, settings }: Pick<Asked, 'input' | 'settings'>,
  target: Target,
  cap?: number,
): ContextRequest => ({
  model: target.name,
  limits: calibration.limits(target.name, limitsFor(target.limits, settings)),
  own: limitsFor(target.limits, settings),
  instructions: settings.instructions,
  input,
  cap,
})

/**
 * The context of a turn for one model. Only where turns would be left out that no summary covers does it wait for one, and not
 * for long; what cannot be summarised in time is left out. For the sake of one long message nothing is summarised.
 */
export async function contextFor(
  deps: TurnContextDeps,
  state: ConversationState,
  asked: Asked,
  target: Target,
  cap: number | undefined,
  signal: AbortSignal,
): Promise<Context> {
  const request = requestOf(deps, asked, target, cap)
  const context = contextInMemory(deps.past, state, request) ?? (await chooseContext(deps, state, request))
  if (context.leftOut === 0 || cap !== undefined) return context
  const plan = await planWhenFull(deps, state, asked, target)
  if (plan === undefined) return context
  deps.log.info({ conversation: state.conversation, turns: context.leftOut }, 'a turn waits for a summary')
  const wait = Math.min(longestWait, deps.turnTimeout / 4)
  const outcome = await deps.compactor.compactWithin(state, plan, wait, signal)
  if (outcome === undefined || 'error' in outcome) return context
  return chooseContext(deps, { ...state, compactedTo: outcome.to }, request)
}

/** After a turn: whether the conversation, with the new answer, may fill its window too far, by its bytes. */
export function mayBeFull({ settings }: Asked, context: Context, answer: Fragment): boolean {
  const usable = roomForTurns(context.limits, []) * (settings.compact_at ?? compactAt)
  return sizeOf(context).tokens + answer.tokens > usable
}

/** Summarises it in the background if it does. */
export async function compactWhenFull(
  deps: TurnContextDeps,
  state: ConversationState,
  asked: Asked,
  target: Target,
): Promise<void> {
  const plan = await planWhenFull(deps, state, asked, target)
  if (plan !== undefined) await deps.compactor.compact(state, plan)
}

/** What a compaction has to reach; undefined when there is none to be made: an ordinary message still fits beside the past. */
async function planWhenFull(
  deps: TurnContextDeps,
  state: ConversationState,
  asked: Asked,
  target: Target,
): Promise<CompactionPlan | undefined> {
  const { compaction, compact_at: at = compactAt } = asked.settings
  if (compaction === 'off') return undefined
  const request = { ...requestOf(deps, asked, target), input: uncounted('user', '') }
  const usable = roomForTurns(request.limits, [])
  const room = await roomForPast(deps, state, request)
  if (room < usable * leastRoom) return undefined // instructions and pins fill it, and no summary changes that
  const plan = await planOf(deps, state, asked, request)
  const summary = state.compactedTo > state.firstSeq ? await deps.past.compaction(state) : undefined
  if (summary !== undefined && summary.tokens > plan.size * tolerance) return plan
  const start = Math.max(state.firstSeq, summary?.toSeq ?? 0)
  const threshold = Math.floor(room * at - (summary?.tokens ?? 0))
  return (await oldestThatFitsCounted(deps, state, start, threshold)) === start ? undefined : plan
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

/** A turn that sets how long its answer may be keeps so much free for it; some of the window is for the question. */
export function limitsFor(limits: Limits, { max_output_tokens: wanted }: Settings): Limits {
  if (wanted === undefined) return limits
  return { ...limits, answer: Math.min(wanted, Math.floor((limits.window * 7) / 8)) }
}
