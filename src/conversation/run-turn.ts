import { type Context, chooseContext, type Frame } from './choose-context.ts'
import { type CollectedAnswer, collectAnswer } from './collect-answer.ts'
import { messageTokens } from './context-window.ts'
import { type IncompleteReason, messageJson, type Usage } from './conversation.ts'
import { codeOf, DaehwaError } from './errors.ts'
import type { Claim, CountTokens, Log, Now, Store, Upstream } from './ports.ts'

/** How often a turn is asked again with a shorter past when the upstream finds the context too long. */
const maxShrinks = 2

export interface RunDeps {
  readonly store: Store
  readonly upstream: Upstream
  readonly countTokens: CountTokens
  readonly now: Now
  readonly log: Log
  /** The longest that a turn may run, in milliseconds. */
  readonly turnTimeout: number
}

/** A turn that has its answer; both are in the history. */
export interface Answer {
  readonly turnId: string
  readonly text: string
  readonly model: string
  readonly usage: Usage | undefined
  readonly incomplete: IncompleteReason | undefined
}

/**
 * Answers a claimed turn: chooses its context, asks the upstream, commits. It ends in the store whatever
 * happens; `abort` ends it early, with its reason as the error.
 */
export async function runTurn(
  deps: RunDeps,
  claim: Claim,
  turn: { readonly model: string },
  frame: () => Frame | Promise<Frame>,
  abort: AbortController,
): Promise<Answer> {
  const { store, countTokens, now, turnTimeout } = deps
  const tooLong = DaehwaError.of('upstream_timeout', { detail: `the turn took over ${turnTimeout} ms` })
  const timer = setTimeout(() => abort.abort(tooLong), turnTimeout)
  try {
    const collected = await answer(deps, claim, turn.model, await frame(), abort.signal)
    const { text, incomplete, usage, model = turn.model } = collected
    const item = { json: messageJson('assistant', text), tokens: messageTokens(await countTokens(text)) }
    const kept = await store.commit(claim, { answer: item, incomplete, model, usage, at: now() })
    if (!kept) throw DaehwaError.of('history_deleted')
    return { turnId: claim.turnId, text, model, usage, incomplete }
  } catch (error) {
    await fail(deps, claim, error)
    throw error
  } finally {
    clearTimeout(timer)
  }
}

async function answer(
  { store, upstream, log }: RunDeps,
  claim: Claim,
  model: string,
  frame: Frame,
  signal: AbortSignal,
): Promise<CollectedAnswer> {
  let { room } = frame
  for (let shrinks = 0; ; shrinks++) {
    const context = await chooseContext(store, claim, frame, room)
    signal.throwIfAborted()
    try {
      return await collectAnswer(upstream.answer({ model, messages: context.messages }, signal))
    } catch (error) {
      if (!mayShrink(error, context, shrinks)) throw error
      room = shrinks + 1 < maxShrinks ? Math.floor(context.pastTokens / 4) : 0
      log.warn(
        { turn: claim.turnId, model, room },
        'the upstream found the context too long: asking again with a shorter past',
      )
    }
  }
}

const mayShrink = (error: unknown, { pastTokens }: Context, shrinks: number): boolean =>
  codeOf(error) === 'context_length_exceeded' && pastTokens > 0 && shrinks < maxShrinks

async function fail({ store, now, log }: RunDeps, claim: Claim, error: unknown): Promise<void> {
  try {
    await store.fail(claim, codeOf(error), now())
  } catch (failure) {
    log.error({ turn: claim.turnId, code: codeOf(failure) }, 'the end of a turn could not be stored')
  }
}
