import type { ConversationState } from '../client.ts'
import type { Compaction } from '../conversation.ts'
import { codeOf, DaehwaError, type ErrorCode, toDaehwaError } from '../errors.ts'
import type { Target } from '../model-catalog.ts'
import type { Monotonic } from '../ports.ts'
import { type SummaryDeps, summarise, tolerance } from './summarise.ts'

/** How long one compaction may take, with all its steps; nobody else begins one meanwhile. Milliseconds. */
const longest = 120_000
/** After a failure a conversation is left alone for so long, so that not every turn waits for the next one. */
const rest = 60_000
/** How many conversations are remembered to be at rest. */
const remembered = 10_000

export interface CompactorDeps extends SummaryDeps {
  readonly clock: Monotonic
}

/** What ends a compaction from this side, and is no failure of it. */
const withdrawn: ReadonlySet<ErrorCode> = new Set(['history_deleted', 'server_shutting_down'])

/** What a compaction is to reach. */
export interface CompactionPlan {
  /** Where the turns begin that stay as they are, of those from `start` on. */
  readonly boundary: (state: ConversationState, start: number) => Promise<number>
  /** How long the summary may be, in tokens. */
  readonly size: number
  /** Who summarises: the first that answers. */
  readonly targets: readonly Target[]
  /** Whether a failure of a moment ago keeps it from being tried again. */
  readonly patient: boolean
}

/** Up to which turn there is a summary now, or why there is none. */
export type CompactionOutcome = { readonly to: number } | { readonly error: DaehwaError }

interface Run {
  readonly conversation: string
  readonly abort: AbortController
  readonly done: Promise<CompactionOutcome>
  /** Somebody has waited for it in vain. */
  slow: boolean
}

/**
 * Summarises the older turns of conversations, one compaction of a conversation at a time, here and over all
 * instances. What is stored of the turns is not touched. It never throws: a conversation without a summary goes on
 * with its newest turns.
 */
export class Compactor {
  readonly #deps: CompactorDeps
  readonly #runs = new Map<string, Run>()
  /** Conversations whose last compaction failed, and until when they are left alone. */
  readonly #resting = new Map<string, { until: number; error: DaehwaError }>()
  #stopped = false

  constructor(deps: CompactorDeps) {
    this.#deps = deps
  }

  /** Compacts, or joins the compaction that is under way; whoever is not patient has their own one after it. */
  async compact(state: ConversationState, plan: CompactionPlan): Promise<CompactionOutcome> {
    const { conversation } = state
    const key = keyOf(state)
    for (let running = this.#runs.get(key); running !== undefined; running = this.#runs.get(key)) {
      const outcome = await running.done
      if (plan.patient) return outcome
    }
    if (this.#stopped) return { error: DaehwaError.of('server_shutting_down').after(5) }
    const failure = this.#resting.get(conversation)
    if (plan.patient && failure !== undefined && this.#deps.clock() < failure.until) return failure
    const abort = new AbortController()
    const done = this.#run(state, plan, abort).finally(() => this.#runs.delete(key))
    this.#runs.set(key, { conversation, abort, done, slow: false })
    return done
  }

  /**
   * The same for somebody who cannot wait longer than `wait` milliseconds: undefined when it takes longer, and at once
   * where another one has waited for it in vain. It goes on meanwhile.
   */
  async compactWithin(
    state: ConversationState,
    plan: CompactionPlan,
    wait: number,
    signal: AbortSignal,
  ): Promise<CompactionOutcome | undefined> {
    if (this.#runs.get(keyOf(state))?.slow === true) return undefined
    const over = Promise.withResolvers<undefined>()
    const onAbort = () => over.reject(signal.reason)
    const timer = setTimeout(() => {
      const run = this.#runs.get(keyOf(state))
      if (run !== undefined) run.slow = true
      over.resolve(undefined)
    }, wait)
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
    try {
      return await Promise.race([this.compact(state, plan), over.promise])
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
    }
  }

  /** Ends what is under way for a conversation whose history is cleared. */
  cancel(conversation: string): void {
    for (const run of this.#runs.values()) {
      if (run.conversation === conversation) run.abort.abort(DaehwaError.of('history_deleted'))
    }
    this.#resting.delete(conversation)
  }

  /** Takes on nothing new and ends what is under way: it is begun again when it is needed. */
  async stop(): Promise<void> {
    this.#stopped = true
    const runs = [...this.#runs.values()]
    for (const { abort } of runs) abort.abort(DaehwaError.of('server_shutting_down').after(5))
    await Promise.all(runs.map(({ done }) => done))
  }

  async #run(
    state: ConversationState,
    plan: CompactionPlan,
    abort: AbortController,
  ): Promise<CompactionOutcome> {
    const { past, now, log, observer } = this.#deps
    const until = now() + longest
    const { conversation } = state
    const tooLong = DaehwaError.of('upstream_timeout', { detail: `no summary within ${longest} ms` })
    const timer = setTimeout(() => abort.abort(tooLong), longest)
    try {
      const held = await past.beginCompaction(state, now(), until)
      if (held === undefined) return { error: DaehwaError.of('compaction_running').after(5) }
      try {
        const reached = await this.#steps(held, until, plan, abort.signal)
        await past.endCompaction(held, until, undefined)
        this.#resting.delete(conversation)
        observer.compacted()
        return { to: reached }
      } catch (error) {
        await past.endCompaction(held, until, withdrawn.has(codeOf(error)) ? undefined : codeOf(error))
        throw error
      }
    } catch (error) {
      if (withdrawn.has(codeOf(error))) return { error: toDaehwaError(error) }
      observer.compacted(codeOf(error))
      log.warn(
        { conversation, code: codeOf(error) },
        'older turns could not be summarised: they are left out',
      )
      return this.#restNow(conversation, toDaehwaError(error))
    } finally {
      clearTimeout(timer)
    }
  }

  /** One summary after the other, each on top of the one before, until only the newest turns are left as they are. */
  async #steps(
    state: ConversationState,
    until: number,
    { boundary, size, targets }: CompactionPlan,
    signal: AbortSignal,
  ): Promise<number> {
    const { past, log } = this.#deps
    let previous: Compaction | undefined =
      state.compactedTo > state.firstSeq ? await past.compaction(state) : undefined
    let from = Math.max(state.firstSeq, previous?.toSeq ?? 0)
    const to = await boundary(state, from)
    let large = previous !== undefined && previous.tokens > size * tolerance // made for a larger model
    while (from < to || large) {
      const made = await summarise(this.#deps, { state, previous, from, to, targets, size }, signal)
      signal.throwIfAborted()
      if (!(await past.keepCompaction(state, until, made))) throw DaehwaError.of('history_deleted')
      const { conversation } = state
      log.info(
        { conversation, turns: made.toSeq - made.fromSeq, tokens: made.tokens, model: made.model },
        'summarised',
      )
      previous = made
      large = false
      from = made.toSeq
    }
    return from
  }

  #restNow(conversation: string, error: DaehwaError): CompactionOutcome {
    this.#resting.set(conversation, { until: this.#deps.clock() + rest, error })
    for (const oldest of this.#resting.keys()) {
      if (this.#resting.size <= remembered) break
      this.#resting.delete(oldest)
    }
    return { error }
  }
}

/** A history that was cleared has nothing to do with the one that begins. */
const keyOf = ({ conversation, epoch }: ConversationState): string => `${conversation} ${epoch}`
