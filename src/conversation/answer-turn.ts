import { answerOf, firstThatAnswers, preferring, servedMark, type Upstreams } from './ask.ts'
import type { Sent } from './charge.ts'
import { type Context, messagesOf, sizeOf } from './context/context.ts'
import { countedTokens, noRun } from './context/past-run.ts'
import { type Asked, contextFor, limitsFor, type TurnContextDeps } from './context/turn-context.ts'
import { codeOf } from './errors.ts'
import type { LiveTurn } from './live-turn.ts'
import type { Target } from './model-catalog.ts'
import type { Finish, Hear } from './ports.ts'
import { type Generation, generationOf } from './settings.ts'
import type { Claim } from './store.ts'

/** How often a turn is asked again with a shorter past when the upstream finds the context too long. */
const maxShrinks = 2

export interface AnswerDeps extends TurnContextDeps {
  readonly upstreams: Upstreams
}

/** An answer, the model that gave it, and what that was sent. */
export interface Served extends Sent {
  readonly finish: Finish
  /** Undefined where no other one could have given it. */
  readonly servedBy: string | undefined
}

/**
 * Has a claimed turn answered: chooses its context for each model that is asked, and takes a shorter one where that is too long.
 * `sends` hears what is on its way to a model, and that it was not taken.
 */
export async function answer(
  deps: AnswerDeps,
  claim: Claim,
  live: LiveTurn,
  asked: Asked,
  sends: (now: Sent | undefined) => void,
  signal: AbortSignal,
): Promise<Served> {
  const chain = deps.models.targets(asked.model, asked.settings.fallback)
  let last: Sent | undefined
  const attempt = async (target: Target, hear: Hear) => {
    for (let shrinks = 0, cap: number | undefined; ; shrinks++) {
      const context = await contextFor(deps, claim, asked, target, cap, signal)
      signal.throwIfAborted()
      const sent = { target, context }
      last = sent
      const request = {
        ...{ messages: messagesOf(context), settings: generationFor(asked, target), of: live.span },
        underway: (is: boolean) => sends(is ? sent : undefined),
      }
      try {
        return await answerOf(deps.upstreams, target, request, hear, signal)
      } catch (error) {
        if (!mayShrink(error, context, shrinks) || live.begun) throw error
        const past = await countedTokens(context.past, deps.countTokens)
        cap = shrinks + 1 < maxShrinks ? Math.floor(past / 4) : 0
        if (asked.settings.max_output_tokens === undefined) {
          const all = past + sizeOf({ ...context, past: noRun }).tokens
          deps.calibration.refused(target.name, all, target.limits.window)
        }
        const fields = { turn: claim.turnId, model: target.name, room: cap }
        deps.log.warn(fields, 'the upstream found the context too long: asking again with a shorter past')
      }
    }
  }
  const targets = preferring(chain, claim.servedBy)
  const hear: Hear = (piece) => live.hear(piece)
  const finish = await firstThatAnswers(targets, chain[0], attempt, hear, deps, signal)
  live.finish()
  if (last === undefined) throw new Error('a turn was answered by nobody')
  learn(deps, last.target, last.context, finish)
  return { ...last, finish, servedBy: chain.length > 1 ? servedMark(chain, last.target) : undefined }
}

/** The settings of a turn for one model: no longer an answer than is kept free for it. */
function generationFor({ settings }: Asked, target: Target): Generation | undefined {
  const generation = generationOf(settings)
  if (generation?.max_output_tokens === undefined) return generation
  return { ...generation, max_output_tokens: limitsFor(target.limits, settings).answer }
}

const mayShrink = (error: unknown, { past }: Context, shrinks: number): boolean =>
  codeOf(error) === 'context_length_exceeded' && past.json.length > 0 && shrinks < maxShrinks

function learn({ calibration }: AnswerDeps, target: Target, context: Context, { usage }: Finish): void {
  const { tokens, counted } = sizeOf(context)
  if (counted && usage !== undefined) calibration.learn(target.name, tokens, usage.input_tokens)
}
