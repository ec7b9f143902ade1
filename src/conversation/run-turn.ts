import { answerOf, firstThatAnswers, preferring, servedMark, type Upstreams } from './ask.ts'
import { type Charge, chargeOf, type Sent } from './charge.ts'
import { collect } from './collect-answer.ts'
import { type Context, messagesOf, sizeOf } from './context/choose-context.ts'
import { countedTokens, noRun } from './context/past-run.ts'
import { uncounted } from './context/sizes.ts'
import {
  type Asked,
  compactWhenFull,
  contextFor,
  limitsFor,
  type TurnContextDeps,
} from './context/turn-context.ts'
import { codeOf, DaehwaError, toDaehwaError } from './errors.ts'
import type { LiveTurn } from './live-turn.ts'
import type { Target } from './model-catalog.ts'
import { during } from './observer.ts'
import type { Finish, Hear, Now } from './ports.ts'
import { type Generation, generationOf } from './settings.ts'
import type { Claim, QueuedTurn, Store } from './store.ts'
import type { TurnRecord } from './turn.ts'

/** How often a turn is asked again with a shorter past when the upstream finds the context too long. */
const maxShrinks = 2

export interface RunDeps extends TurnContextDeps {
  readonly store: Store
  readonly upstreams: Upstreams
  readonly now: Now
}

/** A turn as it is asked, and on whose account. */
type AskedTurn = Asked & Pick<QueuedTurn, 'key' | 'apiKey'>

/** What is still to be written of a turn that has ended. */
export type Unkept = () => Promise<void>

/**
 * Answers a claimed turn: chooses its context, asks the upstream, commits. It never throws: however the turn ends,
 * it ends for its followers and in the store; where the store did not take the end, that is still to be done by the
 * function that is handed back. `abort` ends the turn early, with its reason as the error.
 */
export async function runTurn(
  deps: RunDeps,
  claim: Claim,
  live: LiveTurn,
  asked: AskedTurn,
  abort: AbortController,
): Promise<Unkept | undefined> {
  const { store, log, now, turnTimeout } = deps
  let sent: Sent | undefined
  let charge: Charge | undefined
  const tooLong = () => DaehwaError.of('upstream_timeout', { detail: `the turn took over ${turnTimeout} ms` })
  const timer = setTimeout(() => abort.abort(tooLong()), turnTimeout)
  live.span.claimed()
  live.start(now())
  try {
    const served = await answer(deps, claim, live, asked, (now) => (sent = now), abort.signal)
    charge = await chargeOf(deps, asked, served, live, served.finish.usage)
    live.end(await commit(deps, claim, live, asked, served, charge))
    return undefined
  } catch (error) {
    if (codeOf(error) === 'internal_error') log.error({ turn: claim.turnId, err: error }, 'a turn failed')
    const record = failed(live, isLost(abort) ? abort.signal.reason : error, now())
    charge ??= await chargeOf(deps, asked, sent, live)
    const unkept = isLost(abort) ? undefined : await keptOr(() => store.end(claim, record, charge))
    live.end(record)
    return unkept
  } finally {
    clearTimeout(timer)
  }
}

/** Whether a turn was given up since its instance may be taken for dead: then it is for others to write its end. */
export const isLost = ({ signal }: AbortController): boolean =>
  codeOf(signal.reason) === 'storage_unavailable'

/** Writes; what could not be written is handed back, to be written later. */
export const keptOr = (write: Unkept): Promise<Unkept | undefined> =>
  write().then(
    () => undefined,
    () => write,
  )

/** A turn as it ends by an error, with what had come of its answer. */
export function failed(live: LiveTurn, cause: unknown, at: number): TurnRecord {
  const { code, message, retryAfter } = toDaehwaError(cause)
  const error = { code, message, retryAfter }
  const cancelled = error.code === 'turn_cancelled' || error.code === 'history_deleted'
  const output = error.code === 'history_deleted' ? { text: '', pieces: [], reasoning: '' } : live.output
  return { ...live.record, ...output, status: cancelled ? 'cancelled' : 'failed', error, endedAt: at }
}

/** An answer, the model that gave it, and what that was sent. */
interface Served extends Sent {
  readonly finish: Finish
  /** Undefined where no other one could have given it. */
  readonly servedBy: string | undefined
}

async function commit(
  deps: RunDeps,
  claim: Claim,
  live: LiveTurn,
  asked: Asked,
  { finish, target, context, servedBy }: Served,
  charge: Charge | undefined,
): Promise<TurnRecord> {
  const { store, now, log } = deps
  const { incomplete, usage } = finish
  const prefix = target.name.slice(0, target.name.length - target.model.length)
  const model = prefix + (finish.model ?? target.model)
  const status = incomplete === undefined ? 'completed' : 'incomplete'
  const record = { ...live.record, ...live.output, status, incomplete, usage, model, endedAt: now() } as const
  const items = { answer: uncounted('assistant', record.text), servedBy }
  const kept = store.commit(claim, record, items, charge)
  if (!(await during(deps.observer.part('commit', live.span), kept))) {
    const lost = failed(live, await whyLost(store, claim), now())
    await store.end(claim, lost, charge)
    return lost
  }
  const grown = { ...claim, nextSeq: claim.nextSeq + 1 }
  compactWhenFull(deps, grown, asked, target, context, items.answer).catch((error: unknown) => {
    log.warn(
      { conversation: claim.conversation, code: codeOf(error) },
      'a conversation could not be looked over',
    )
  })
  return record
}

/** Why a turn is not this instance's any more: what the database says became of it. */
async function whyLost(store: Store, { tenant, turnId }: Claim): Promise<DaehwaError> {
  const kept = await store.turn(tenant, turnId)
  if (kept === undefined) return DaehwaError.of('history_deleted')
  return kept.error === undefined ? DaehwaError.of('server_restarted') : DaehwaError.restore(kept.error)
}

async function answer(
  deps: RunDeps,
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
  const finish = await collect(
    (hear) => firstThatAnswers(targets, chain[0], attempt, hear, deps, signal),
    live,
  )
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

function learn({ calibration }: RunDeps, target: Target, context: Context, { usage }: Finish): void {
  const { tokens, counted } = sizeOf(context)
  if (counted && usage !== undefined) calibration.learn(target.name, tokens, usage.input_tokens)
}
