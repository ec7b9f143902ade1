import { type CarryDeps, carryTurn } from './carry-turn.ts'
import type { ConversationKey } from './conversation.ts'
import { Elsewhere } from './elsewhere.ts'
import { codeOf, DaehwaError } from './errors.ts'
import type { Followable } from './follow-turn.ts'
import { OrderedIds } from './ids.ts'
import type { TakenTurn } from './instance-store.ts'
import { Lanes, type Place } from './lanes.ts'
import { LiveTurn } from './live-turn.ts'
import { type Ask, type NewTurnDeps, newTurn, recordOf } from './new-turn.ts'
import { TurnReader } from './read-turns.ts'
import type { Unkept } from './run-turn.ts'
import type { Claim, NewTurn, QueuedTurn } from './store.ts'
import type { TurnRecord } from './turn.ts'
import { Visits } from './visits.ts'

/** Milliseconds between two tries to end a turn in a storage that fails. */
const endAgain = 1_000

export interface TurnsDeps extends CarryDeps, NewTurnDeps {
  /** How many turns may wait in one conversation. */
  readonly maxWaiting: number
}

/** A turn that was accepted, now or (`replayed`) by an earlier request with the same key. */
export interface Begun {
  readonly turn: Followable
  readonly replayed: boolean
}

/** Runs turns: one at a time per conversation, in the order they came, whether or not somebody still listens. */
export class Turns {
  readonly #deps: TurnsDeps
  readonly #lanes = new Lanes()
  readonly #ids = new OrderedIds()
  readonly #visits = new Visits()
  readonly #elsewhere: Elsewhere
  readonly #reader: TurnReader
  readonly #unfinished = new Set<Promise<unknown>>()
  #draining = false

  constructor(deps: TurnsDeps) {
    this.#deps = deps
    this.#elsewhere = new Elsewhere(deps)
    this.#reader = new TurnReader(deps, this.#visits, this.#elsewhere)
  }

  get draining(): boolean {
    return this.#draining
  }

  /**
   * Takes an input: when this resolves it is durable, and the turn goes on by itself. What cannot be taken is
   * thrown before anything is kept.
   */
  async begin(ask: Ask): Promise<Begun> {
    if (this.#draining) throw DaehwaError.of('server_shutting_down').after(5)
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
      if (running !== undefined) this.#visits.abort([running], DaehwaError.of('turn_cancelled'))
      return { turn: this.#carry(place, kept, accepted.claim), replayed: false }
    } catch (error) {
      place.leave()
      throw error
    }
  }

  /** A turn of this tenant, running or ended. @throws DaehwaError `not_found` */
  find(tenant: string, id: string): Promise<Followable> {
    return this.#reader.find(tenant, id)
  }

  /** Stops a turn, waiting or running; one that has ended stays as it is. Resolves when it has ended. */
  cancel(tenant: string, id: string): Promise<TurnRecord> {
    return this.#reader.cancel(tenant, id)
  }

  /** Erases a history, or a whole client. What is being answered for it is stopped and never enters it. */
  async clear(key: ConversationKey, what: 'history' | 'client' = 'history'): Promise<number> {
    const { store, now, log } = this.#deps
    const erase = what === 'client' ? store.forget : store.clear
    const { messages, turns, conversation } = await erase(key, now())
    if (conversation !== undefined) this.#deps.compactor.cancel(conversation)
    this.#visits.abort(turns, DaehwaError.of('history_deleted'))
    await store.scrub().catch((error: unknown) => {
      log.warn(
        { code: codeOf(error) },
        'a history is cleared, but its words are in the log of the database until it is emptied',
      )
    })
    return messages
  }

  /** Runs what was accepted by an instance that is gone, and not yet sent. */
  resume(queued: readonly TakenTurn[]): void {
    for (const turn of queued) {
      const place = this.#lanes.enter(laneOf(turn.key), Number.POSITIVE_INFINITY)
      place.rank(turn.place)
      this.#carry(place, turn, undefined)
    }
  }

  /** Stops all that runs and waits here: other instances may have taken it over. */
  lose(): void {
    this.#visits.abortAll(() => DaehwaError.of('storage_unavailable').after(1))
  }

  /** Stops what other instances have ended, or were asked to cancel. */
  watch(): Promise<void> {
    return this.#visits.watch(this.#deps.store, this.#deps.instance())
  }

  /** Takes nothing new, gives what runs `grace` milliseconds, then ends it as `server_shutting_down`. */
  async drain(grace: number): Promise<void> {
    this.#draining = true
    const end = () => {
      this.#visits.abortAll(() => DaehwaError.of('server_shutting_down'))
      this.#elsewhere.stop()
    }
    const timer = setTimeout(end, grace)
    while (this.#unfinished.size > 0) await Promise.allSettled(this.#unfinished)
    clearTimeout(timer)
    this.#elsewhere.stop()
    await this.#deps.compactor.stop()
  }

  async #replay({ key }: Ask, id: string): Promise<Begun> {
    try {
      return { turn: await this.find(key.tenant, id), replayed: true }
    } catch (error) {
      throw codeOf(error) === 'not_found' ? DaehwaError.of('history_deleted') : error
    }
  }

  /** Lets a turn go its way: it waits, runs and ends, and leaves its lane. */
  #carry(place: Place, turn: NewTurn | QueuedTurn, claimed: Claim | undefined): LiveTurn {
    const abort = new AbortController()
    const live = new LiveTurn(recordOf(turn))
    const visit = { tenant: turn.key.tenant, abort, live }
    this.#visits.add(turn.id, visit)
    const run = async () => {
      try {
        const deps = { ...this.#deps, elsewhere: this.#elsewhere }
        const unkept = await carryTurn(deps, place, turn, claimed, live, abort)
        place.leave()
        if (unkept !== undefined) await this.#untilKept(turn.id, unkept)
      } finally {
        place.leave()
        this.#visits.delete(turn.id, visit)
      }
    }
    const running = run().finally(() => this.#unfinished.delete(running))
    this.#unfinished.add(running)
    return live
  }

  /**
   * Writes the end of a turn that the storage did not take, for as long as it takes: no restart may run what its
   * sender was told had failed. Until then the turn is still read from memory.
   */
  async #untilKept(id: string, write: Unkept): Promise<void> {
    while (!this.#draining) {
      await new Promise((resolve) => setTimeout(resolve, endAgain))
      try {
        return await write()
      } catch (error) {
        this.#deps.log.error({ turn: id, code: codeOf(error) }, 'the end of a turn could not be stored yet')
      }
    }
    await write().catch(() => {})
  }
}

const laneOf = ({ tenant, client }: ConversationKey): string => `${tenant}\0${client}`
