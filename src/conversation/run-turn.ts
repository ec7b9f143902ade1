import { type Context, chooseContext, type Frame, tokensOf } from './choose-context.ts'
import { codeOf, DaehwaError, toDaehwaError } from './errors.ts'
import type { LiveTurn } from './live-turn.ts'
import type { Models } from './models.ts'
import type { Claim, CountTokens, Log, ModelEvent, Now, Store, Upstream } from './ports.ts'
import { uncounted } from './sizes.ts'
import type { TurnRecord } from './turn.ts'

/** How often a turn is asked again with a shorter past when the upstream finds the context too long. */
const maxShrinks = 2

export interface RunDeps {
  readonly store: Store
  readonly models: Models
  /** By the names of targets. */
  readonly upstreams: ReadonlyMap<string, Upstream>
  readonly countTokens: CountTokens
  readonly now: Now
  readonly log: Log
  /** The longest that a turn may run, in milliseconds. */
  readonly turnTimeout: number
}

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
  frame: () => Frame | Promise<Frame>,
  abort: AbortController,
): Promise<Unkept | undefined> {
  const { store, log, now, turnTimeout } = deps
  const tooLong = DaehwaError.of('upstream_timeout', { detail: `the turn took over ${turnTimeout} ms` })
  const timer = setTimeout(() => abort.abort(tooLong), turnTimeout)
  live.start(now())
  try {
    const finish = await answer(deps, claim, live, await frame(), abort.signal)
    live.end(await commit(deps, claim, live, finish))
    return undefined
  } catch (error) {
    if (codeOf(error) === 'internal_error') log.error({ turn: claim.turnId, err: error }, 'a turn failed')
    const record = failed(live, error, now())
    const unkept = await keptOr(() => store.end(claim, record))
    live.end(record)
    return unkept
  } finally {
    clearTimeout(timer)
  }
}

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
  const output = error.code === 'history_deleted' ? { text: '', pieces: [] } : live.output
  return { ...live.record, ...output, status: cancelled ? 'cancelled' : 'failed', error, endedAt: at }
}

type Finish = Extract<ModelEvent, { type: 'finish' }>

async function commit(deps: RunDeps, claim: Claim, live: LiveTurn, finish: Finish): Promise<TurnRecord> {
  const { store, now } = deps
  const { incomplete, usage, model = live.record.model } = finish
  const { text, pieces } = live.output
  const status = incomplete === undefined ? 'completed' : 'incomplete'
  const record = { ...live.record, status, text, pieces, incomplete, usage, model, endedAt: now() } as const
  if (await store.commit(claim, record, uncounted('assistant', text))) return record
  return failed(live, DaehwaError.of('history_deleted'), now())
}

async function answer(
  deps: RunDeps,
  claim: Claim,
  live: LiveTurn,
  frame: Frame,
  signal: AbortSignal,
): Promise<Finish> {
  const { models, upstreams, countTokens, log } = deps
  const [{ model, ...target }] = models.targets(live.record.model)
  const upstream = upstreams.get(target.upstream)
  if (upstream === undefined) throw new Error(`no upstream is called ${target.upstream}`)
  let room: number | undefined
  for (let shrinks = 0; ; shrinks++) {
    const context = await chooseContext(deps, claim, frame, room)
    signal.throwIfAborted()
    try {
      return await collect(upstream.answer({ model, messages: context.messages }, signal), live)
    } catch (error) {
      if (!mayShrink(error, context, shrinks) || live.output.pieces.length > 0) throw error
      room = shrinks + 1 < maxShrinks ? Math.floor((await tokensOf(context.past, countTokens)) / 4) : 0
      log.warn(
        { turn: claim.turnId, model, room },
        'the upstream found the context too long: asking again with a shorter past',
      )
    }
  }
}

/** Hands the pieces of an answer to the turn's followers. An answer over 8 MiB is cut there, and says so. */
async function collect(events: AsyncIterable<ModelEvent>, live: LiveTurn): Promise<Finish> {
  for await (const event of events) {
    if (event.type === 'finish') {
      live.finish()
      return event
    }
    if (event.type === 'reasoning') continue
    if (!live.add(event.text)) {
      return { type: 'finish', incomplete: 'max_output_bytes', usage: undefined, model: undefined }
    }
  }
  throw DaehwaError.of('upstream_bad_response', { detail: 'it ended without a finish reason' })
}

const mayShrink = (error: unknown, { past }: Context, shrinks: number): boolean =>
  codeOf(error) === 'context_length_exceeded' && past.length > 0 && shrinks < maxShrinks
