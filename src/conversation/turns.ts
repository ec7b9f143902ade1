import { type Frame, frameContext } from './choose-context.ts'
import { messageTokens } from './context-window.ts'
import { type ConversationKey, messageJson } from './conversation.ts'
import { codeOf, DaehwaError, invalid } from './errors.ts'
import { OrderedIds } from './ids.ts'
import { Lanes, type Place } from './lanes.ts'
import { checkModelName, type Models } from './models.ts'
import type { Claim, NewTurn, QueuedTurn } from './ports.ts'
import { type Answer, type RunDeps, runTurn } from './run-turn.ts'

/** How many turns may wait in one conversation. */
const maxWaiting = 64
/** Milliseconds between two tries to end a turn in a storage that fails. */
const abandonAgain = 1_000

export interface TurnsDeps extends RunDeps {
  readonly models: Models
  /** The window of a model that is not well known, in tokens. */
  readonly otherWindow: number
}

/** One input of a client. `model` and `instructions` hold for this turn alone. */
export interface Ask {
  readonly key: ConversationKey
  readonly input: string
  readonly model?: string | undefined
  readonly instructions?: string | undefined
}

/** Runs turns: one at a time per conversation, in the order they came, whether or not somebody still listens. */
export class Turns {
  readonly #deps: TurnsDeps
  readonly #lanes = new Lanes()
  readonly #ids = new OrderedIds()
  /** Every turn that has not ended here, waiting ones too, by id. */
  readonly #live = new Map<string, AbortController>()
  readonly #unfinished = new Set<Promise<unknown>>()
  #draining = false

  constructor(deps: TurnsDeps) {
    this.#deps = deps
  }

  /**
   * Asks the model with the conversation so far as context. The input is durable before the model is asked,
   * the answer before this resolves; when it rejects, neither is in the history.
   */
  ask(ask: Ask): Promise<Answer> {
    if (this.#draining) return Promise.reject(DaehwaError.of('server_shutting_down').after(5))
    const id = this.#ids.next('resp', this.#deps.now()) // made when the place is taken: ids sort as places do
    return this.#inLane(ask.key, id, maxWaiting, async (visit) => {
      const turn = await this.#newTurn(id, ask)
      const frame = await this.#frame(turn) // before it is kept: an input that is too long leaves no trace
      const claim = await this.#claim(visit, turn)
      return runTurn(this.#deps, claim, turn, () => frame, visit.abort)
    })
  }

  /** Erases a history. What is being answered for it is stopped and never enters it. */
  async clear(key: ConversationKey): Promise<number> {
    const { messages, turns } = await this.#deps.store.clear(key, this.#deps.now())
    for (const id of turns) this.#live.get(id)?.abort(DaehwaError.of('history_deleted'))
    return messages
  }

  /** After a start, before anything is asked: runs what was accepted and not yet sent when the server ended. */
  async recover(): Promise<void> {
    const { store, log, now } = this.#deps
    const queued = await store.recover(now())
    if (queued.length > 0) log.info({ turns: queued.length }, 'running the turns that were waiting')
    for (const turn of queued) {
      this.#inLane(turn.key, turn.id, Number.POSITIVE_INFINITY, async (visit) => {
        const claim = await this.#claimQueued(visit, turn)
        return runTurn(this.#deps, claim, turn, () => this.#frame(turn), visit.abort)
      }).catch((error: unknown) => {
        log.warn({ turn: turn.id, code: codeOf(error) }, 'a turn that was waiting failed')
      })
    }
  }

  /** Takes nothing new, gives what runs `grace` milliseconds, then ends it as `server_shutting_down`. */
  async drain(grace: number): Promise<void> {
    this.#draining = true
    const timer = setTimeout(() => {
      for (const abort of this.#live.values()) abort.abort(DaehwaError.of('server_shutting_down'))
    }, grace)
    while (this.#unfinished.size > 0) await Promise.allSettled(this.#unfinished)
    clearTimeout(timer)
  }

  async #inLane<T>(
    key: ConversationKey,
    id: string,
    maxWaiting: number,
    work: (visit: Visit) => Promise<T>,
  ): Promise<T> {
    const place = this.#lanes.enter(`${key.tenant}\0${key.client}`, maxWaiting)
    const abort = new AbortController()
    this.#live.set(id, abort)
    const done = work({ place, abort }).finally(() => {
      place.leave()
      this.#live.delete(id)
    })
    return this.#track(done)
  }

  #track<T>(work: Promise<T>): Promise<T> {
    const tracked = work.finally(() => this.#unfinished.delete(tracked))
    this.#unfinished.add(tracked)
    return tracked
  }

  async #newTurn(id: string, { key, input, model, instructions }: Ask): Promise<NewTurn> {
    if (input.length === 0) throw invalid("'input' is empty. Send the text that the model is to answer.")
    if (model !== undefined) checkModelName(model)
    const { store, models, countTokens, now } = this.#deps
    const at = now()
    const tokens = messageTokens(await countTokens(input))
    return {
      id,
      key,
      input: { json: messageJson('user', input), tokens },
      model: model ?? (await store.model(key)) ?? (await models.default()),
      instructions,
      at,
    }
  }

  #frame(turn: NewTurn | QueuedTurn): Promise<Frame> {
    return frameContext({ ...turn, otherWindow: this.#deps.otherWindow }, this.#deps.countTokens)
  }

  async #claim(visit: Visit, turn: NewTurn): Promise<Claim> {
    const { store, now, turnTimeout } = this.#deps
    if (visit.place.first) return store.acceptAndClaim(turn, now() + turnTimeout)
    await store.accept(turn)
    return this.#claimQueued(visit, turn)
  }

  async #claimQueued({ place }: Visit, { id, key }: NewTurn | QueuedTurn): Promise<Claim> {
    const { store, now, turnTimeout } = this.#deps
    await place.ready
    let claim: Claim | undefined
    try {
      claim = await store.claim(key.tenant, id, now(), now() + turnTimeout)
    } catch (error) {
      void this.#track(this.#abandon(key.tenant, id, error))
      throw error
    }
    if (claim === undefined) throw DaehwaError.of('history_deleted')
    return claim
  }

  /**
   * Ends a turn that was kept and could not be begun, so that no restart runs what its sender was told had failed.
   * The storage has just failed; it is tried again until it takes this.
   */
  async #abandon(tenant: string, id: string, reason: unknown): Promise<void> {
    const { store, now, log } = this.#deps
    for (;;) {
      try {
        await store.abandon(tenant, id, codeOf(reason), now())
        return
      } catch (error) {
        log.error(
          { turn: id, code: codeOf(error) },
          'a turn that failed could not be ended in the storage yet',
        )
        if (this.#draining) return
        await new Promise((resolve) => setTimeout(resolve, abandonAgain))
      }
    }
  }
}

/** A turn on its way through its lane. */
interface Visit {
  readonly place: Place
  readonly abort: AbortController
}
