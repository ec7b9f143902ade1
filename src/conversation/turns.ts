import type { Owner } from './access/caller.ts'
import type { CarryDeps } from './carry-turn.ts'
import type { ConversationKey } from './conversation.ts'
import { Elsewhere } from './elsewhere.ts'
import { Eraser } from './eraser.ts'
import { codeOf, DaehwaError, type ErrorCode } from './errors.ts'
import type { Followable } from './follow-turn.ts'
import { OrderedIds } from './ids.ts'
import type { TakenTurn } from './instance-store.ts'
import { Lanes, type Place } from './lanes.ts'
import { type Ask, type NewTurnDeps, newTurn } from './new-turn.ts'
import { during } from './observer.ts'
import type { Monotonic } from './ports.ts'
import { TurnReader } from './read-turns.ts'
import { RunningTurns } from './running-turns.ts'
import { Teller } from './teller.ts'
import type { TurnRecord } from './turn.ts'
import { Visits } from './visits.ts'

export interface TurnsDeps extends CarryDeps, NewTurnDeps {
  readonly clock: Monotonic
  /** How many turns may wait in one conversation. */
  readonly maxWaiting: number
  /** How many turns may be under way here at once, running and waiting. */
  readonly maxTurns: number
}

/** A turn that was accepted, now or (`replayed`) by an earlier request with the same key. */
export interface Begun {
  readonly turn: Followable
  readonly replayed: boolean
}

/** Runs turns: one at a time per conversation, in the order they came, whether or not somebody still listens. */
export class Turns {
  readonly eraser: Eraser
  readonly #deps: TurnsDeps
  readonly #lanes = new Lanes()
  readonly #ids = new OrderedIds()
  readonly #visits = new Visits()
  readonly #elsewhere: Elsewhere
  readonly #reader: TurnReader
  readonly #teller: Teller
  readonly #asked: Disposable
  readonly #running: RunningTurns
  /** How many are being taken at this moment. */
  #beginning = 0

  constructor(deps: TurnsDeps) {
    this.#deps = deps
    this.eraser = new Eraser(deps, (turns) => this.#stop(turns, 'history_deleted'))
    this.#elsewhere = new Elsewhere(deps)
    this.#teller = new Teller(deps, this.#visits)
    this.#reader = new TurnReader(deps, this.#visits, this.#elsewhere, this.#teller)
    this.#running = new RunningTurns({ ...deps, elsewhere: this.#elsewhere }, this.#visits, this.#teller)
    this.#asked = this.#teller.listen(() => this.#look())
  }

  get draining(): boolean {
    return this.#running.draining
  }

  /** How many turns are being answered here, and how many wait for their turn here. */
  counts(): { running: number; waiting: number } {
    return this.#visits.counts()
  }

  /**
   * Takes an input: when this resolves it is durable, and the turn goes on by itself. What cannot be taken is
   * thrown before anything is kept.
   */
  async begin(ask: Ask): Promise<Begun> {
    const { maxTurns, observer } = this.#deps
    if (this.#visits.size + this.#beginning >= maxTurns) throw DaehwaError.of('overloaded').after(2)
    this.#beginning++
    try {
      return await during(observer.part('accept', ask.of), this.#begin(ask))
    } finally {
      this.#beginning--
    }
  }

  /** A turn of its owner, running or ended. @throws DaehwaError `not_found` */
  find(owner: Owner, id: string): Promise<Followable> {
    return this.#reader.find(owner, id)
  }

  /** Stops a turn, waiting or running; one that has ended stays as it is. Resolves when it has ended. */
  cancel(owner: Owner, id: string): Promise<TurnRecord> {
    return this.#reader.cancel(owner, id)
  }

  /** Erases a history, or a whole client. What is being answered for it is stopped and never enters it. */
  clear(key: ConversationKey, what: 'history' | 'client' = 'history'): Promise<number> {
    return this.eraser.clear(key, what)
  }

  /** Runs what was accepted by an instance that is gone, and not yet sent. */
  resume(queued: readonly TakenTurn[]): void {
    for (const turn of queued) {
      const place = this.#lanes.enter(laneOf(turn.key), Number.POSITIVE_INFINITY)
      place.rank(turn.place)
      this.#running.carry(place, turn, undefined)
    }
  }

  /** Stops all that runs and waits here: other instances may have taken it over. */
  lose(): void {
    this.#visits.abortAll(() => DaehwaError.of('storage_unavailable').after(1))
  }

  /** Stops what other instances have ended, or were asked to cancel, and writes down what they follow. */
  async watch(): Promise<void> {
    const { store, instance } = this.#deps
    const unended = await this.#visits.stopEnded(store, instance())
    this.#teller.write(unended.filter(({ followed }) => followed).map(({ id }) => id))
    await this.#visits.disownStrays(store, instance(), unended)
  }

  /** Takes nothing new, gives what runs `grace` milliseconds, then ends it as `server_shutting_down`. */
  async drain(grace: number): Promise<void> {
    const end = () => {
      this.#visits.abortAll(() => DaehwaError.of('server_shutting_down'))
      this.#elsewhere.stop()
    }
    const timer = setTimeout(end, grace)
    await this.#running.drain()
    await this.#elsewhere.unread()
    clearTimeout(timer)
    this.#elsewhere.stop()
    this.#asked[Symbol.dispose]()
    await this.#deps.compactor.stop()
  }

  async #begin(ask: Ask): Promise<Begun> {
    if (this.draining) throw DaehwaError.of('server_shutting_down').after(5)
    const { store, now, turnTimeout } = this.#deps
    const id = this.#ids.next('resp', now())
    const interrupt = ask.strategy === 'interrupt'
    const maxWaiting = ask.strategy === 'reject' ? 0 : this.#deps.maxWaiting
    let place: Place
    try {
      place = this.#lanes.enter(laneOf(ask.key), maxWaiting)
    } catch (busy) {
      // A message that was taken before is not a new one, however many wait.
      const known = ask.idempotency && (await store.known(ask.key.tenant, ask.idempotency, now()))
      if (known === undefined) throw busy
      return this.#replay(ask, known)
    }
    try {
      const turn = await newTurn(this.#deps, id, ask)
      await place.mayRank // what came before it here is accepted before it
      const deadline = place.inside ? now() + turnTimeout : undefined
      const accepted = await store.accept(turn, deadline, { maxWaiting, interrupt })
      if (accepted.existing) {
        place.leave()
        return await this.#replay(ask, accepted.turnId)
      }
      const kept = { ...turn, id: accepted.turnId }
      place.rank(accepted.place)
      const { running } = accepted
      if (running !== undefined) this.#stop([running], 'turn_cancelled')
      return { turn: this.#running.carry(place, kept, accepted.claim, ask.of), replayed: false }
    } catch (error) {
      place.leave()
      throw error
    }
  }

  /** Ends turns here, or at whichever instance they run. */
  #stop(ids: readonly string[], code: ErrorCode): void {
    this.#visits.abort(ids, DaehwaError.of(code))
    this.#teller.tellToLook(ids)
  }

  #look(): void {
    const look = async () => this.#visits.stopEnded(this.#deps.store, this.#deps.instance())
    look().catch(() => {}) // the next one is soon
  }

  async #replay({ key }: Ask, id: string): Promise<Begun> {
    try {
      return { turn: await this.find(key, id), replayed: true }
    } catch (error) {
      throw codeOf(error) === 'not_found' ? DaehwaError.of('history_deleted') : error
    }
  }
}

const laneOf = ({ tenant, client }: ConversationKey): string => `${tenant}\0${client}`
