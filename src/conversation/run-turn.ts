import { type AnswerDeps, answer, type Served } from './answer-turn.ts'
import { type Charge, chargeOf, type Sent } from './charge.ts'
import { uncounted } from './context/sizes.ts'
import { type Asked, compactWhenFull, mayBeFull } from './context/turn-context.ts'
import { codeOf, DaehwaError, toDaehwaError } from './errors.ts'
import type { LiveTurn } from './live-turn.ts'
import type { Target } from './model-catalog.ts'
import { during } from './observer.ts'
import type { Now } from './ports.ts'
import type { Claim, QueuedTurn, Store } from './store.ts'
import type { TurnRecord } from './turn.ts'

export interface RunDeps extends AnswerDeps {
  readonly store: Store
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

async function commit(
  deps: RunDeps,
  claim: Claim,
  live: LiveTurn,
  asked: Asked,
  served: Served,
  charge: Charge | undefined,
): Promise<TurnRecord> {
  const record = answered(live, served, deps.now())
  const answer = uncounted('assistant', record.text)
  const kept = deps.store.commit(claim, record, { answer, servedBy: served.servedBy }, charge)
  if (!(await during(deps.observer.part('commit', live.span), kept))) return lost(deps, claim, live, charge)
  deps.past.entered(claim, asked.input, answer)
  if (mayBeFull(asked, served.context, answer)) lookOver(deps, claim, asked, served.target)
  return record
}

/** A turn as it ends by its answer. */
function answered(live: LiveTurn, { finish, target }: Served, endedAt: number): TurnRecord {
  const { incomplete, usage } = finish
  const { id, askedModel, createdAt, startedAt } = live.record
  const { text, pieces, reasoning } = live.output
  const prefix = target.name.slice(0, target.name.length - target.model.length)
  const model = prefix + (finish.model ?? target.model)
  const status = incomplete === undefined ? 'completed' : 'incomplete'
  return {
    id,
    status,
    askedModel,
    model,
    text,
    reasoning,
    pieces,
    usage,
    incomplete,
    error: undefined,
    createdAt,
    startedAt,
    endedAt,
  }
}

/** Looks in the background whether older turns are to be summarised. */
function lookOver(deps: RunDeps, claim: Claim, asked: Asked, target: Target) {
  const grown = { ...claim, nextSeq: claim.nextSeq + 1 }
  compactWhenFull(deps, grown, asked, target).catch((error: unknown) => {
    deps.log.warn(
      { conversation: claim.conversation, code: codeOf(error) },
      'a conversation could not be looked over',
    )
  })
}

/** The end of a turn that is not this instance's any more. */
async function lost(
  { store, now }: RunDeps,
  claim: Claim,
  live: LiveTurn,
  charge: Charge | undefined,
): Promise<TurnRecord> {
  const record = failed(live, await whyLost(store, claim), now())
  await store.end(claim, record, charge)
  return record
}

/** Why a turn is not this instance's any more: what the database says became of it. */
async function whyLost(store: Store, { tenant, turnId }: Claim): Promise<DaehwaError> {
  const kept = await store.turn(tenant, turnId)
  if (kept === undefined) return DaehwaError.of('history_deleted')
  return kept.error === undefined ? DaehwaError.of('server_restarted') : DaehwaError.restore(kept.error)
}
