import { type Frame, frameContext } from './choose-context.ts'
import { messageTokens } from './context-window.ts'
import { type ConversationKey, messageJson } from './conversation.ts'
import { codeOf, DaehwaError, invalid } from './errors.ts'
import { newId } from './ids.ts'
import { Lanes, type Place } from './lanes.ts'
import { checkModelName, type Models } from './models.ts'
import type { Claim, NewTurn, QueuedTurn } from './ports.ts'
import { type Answer, type RunDeps, runTurn } from './run-turn.ts'

/** How many turns may wait in one conversation. */
const maxWaiting = 64

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
  readonly #lanes = new Lanes(maxWaiting)
  readonly #running = new Map<string, AbortController>()
  readonly #unfinished = new Set<Promise<unknown>>()
  #draining = false
  #stopped = false

  constructor(deps: TurnsDeps) {
    this.#deps = deps
  }

  /**
   * Asks the model with the conversation so far as context. The input is durable before the model is asked,
   * the answer before this resolves; when it rejects, neither is in the history.
   */
  ask(ask: Ask): Promise<Answer> {
    return this.#inLane(ask.key, async (place) => {
      const turn = await this.#newTurn(ask)
      const frame = await this.#frame(turn) // before it is kept: an input that is too long leaves no trace
      return this.#run(await this.#claim(place, turn), turn, frame)
    })
  }

  /** Erases a history. What is being answered for it is stopped and never enters it. */
  async clear(key: ConversationKey): Promise<number> {
    const running = this.#running.get(laneOf(key)) // looked up first: a turn that begins after the erasing may go on
    const erased = await this.#deps.store.clear(key, this.#deps.now())
    running?.abort(DaehwaError.of('history_deleted'))
    return erased
  }

  /** After a start, before anything is asked: runs what was accepted and not yet sent when the server ended. */
  async recover(): Promise<void> {
    const queued = await this.#deps.store.recover(this.#deps.now())
    if (queued.length > 0)
      this.#deps.log.info({ turns: queued.length }, 'running the turns that were waiting')
    for (const turn of queued) {
      const run = async (place: Place) => this.#run(await this.#claimQueued(place, turn), turn)
      this.#inLane(turn.key, run).catch((error: unknown) => {
        this.#deps.log.warn({ turn: turn.id, code: codeOf(error) }, 'a turn that was waiting failed')
      })
    }
  }

  /** Takes nothing new, gives what runs `grace` milliseconds, then ends it as `server_shutting_down`. */
  async drain(grace: number): Promise<void> {
    this.#draining = true
    const timer = setTimeout(() => {
      this.#stopped = true
      for (const abort of this.#running.values()) abort.abort(DaehwaError.of('server_shutting_down'))
    }, grace)
    while (this.#unfinished.size > 0) await Promise.allSettled(this.#unfinished)
    clearTimeout(timer)
  }

  #inLane<T>(key: ConversationKey, work: (place: Place) => Promise<T>): Promise<T> {
    if (this.#draining) return Promise.reject(DaehwaError.of('server_shutting_down').after(5))
    let place: Place
    try {
      place = this.#lanes.enter(laneOf(key))
    } catch (error) {
      return Promise.reject(error)
    }
    const done = work(place).finally(() => {
      place.leave()
      this.#unfinished.delete(done)
    })
    this.#unfinished.add(done)
    return done
  }

  async #newTurn({ key, input, model, instructions }: Ask): Promise<NewTurn> {
    if (input.length === 0) throw invalid("'input' is empty. Send the text that the model is to answer.")
    if (model !== undefined) checkModelName(model)
    const { store, models, countTokens, now } = this.#deps
    const at = now()
    const id = newId('resp', at)
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

  async #claim(place: Place, turn: NewTurn): Promise<Claim> {
    const { store, now, turnTimeout } = this.#deps
    if (place.first) return store.acceptAndClaim(turn, now() + turnTimeout)
    await store.accept(turn)
    return this.#claimQueued(place, turn)
  }

  async #claimQueued(place: Place, { id, key }: NewTurn | QueuedTurn): Promise<Claim> {
    await place.ready
    const at = this.#deps.now()
    const claim = await this.#deps.store.claim(key.tenant, id, at, at + this.#deps.turnTimeout)
    if (claim === undefined) throw DaehwaError.of('history_deleted')
    return claim
  }

  /** `frame` is made here for a turn whose input was accepted before a restart. */
  async #run(claim: Claim, turn: NewTurn | QueuedTurn, frame?: Frame): Promise<Answer> {
    const lane = laneOf(turn.key)
    const abort = new AbortController()
    this.#running.set(lane, abort)
    if (this.#stopped) abort.abort(DaehwaError.of('server_shutting_down'))
    try {
      return await runTurn(this.#deps, claim, turn, () => frame ?? this.#frame(turn), abort)
    } finally {
      this.#running.delete(lane)
    }
  }
}

const laneOf = ({ tenant, client }: ConversationKey): string => `${tenant}\0${client}`
