import { carryTurn } from './carry-turn.ts'
import type { ConversationKey } from './conversation.ts'
import { codeOf, DaehwaError } from './errors.ts'
import { endedTurn, type Followable } from './follow-turn.ts'
import { OrderedIds } from './ids.ts'
import { Lanes, type Place } from './lanes.ts'
import { LiveTurn } from './live-turn.ts'
import { type Ask, type NewTurnDeps, newTurn, recordOf } from './new-turn.ts'
import type { RunDeps, Unkept } from './run-turn.ts'
import { SharedTurns } from './shared-turns.ts'
import type { Claim, NewTurn, QueuedTurn } from './store.ts'
import type { TurnRecord } from './turn.ts'

/** Milliseconds between two tries to end a turn in a storage that fails. */
const endAgain = 1_000

export interface TurnsDeps extends RunDeps, NewTurnDeps {
  /** How many turns may wait in one conversation. */
  readonly maxWaiting: number
}

/** A turn that was accepted, now or (`replayed`) by an earlier request with the same key. */
export interface Begun {
  readonly turn: Followable
  readonly replayed: boolean
}

/** A turn on its way through its lane. */
interface Visit {
  readonly tenant: string
  readonly abort: AbortController
  readonly live: LiveTurn
}

/** Runs turns: one at a time per conversation, in the order they came, whether or not somebody still listens. */
export class Turns {
  readonly #deps: TurnsDeps
  readonly #lanes = new Lanes()
  readonly #ids = new OrderedIds()
  /** Every turn that has not ended here, waiting ones too, by id. */
  readonly #visits = new Map<string, Visit>()
  readonly #unfinished = new Set<Promise<unknown>>()
  readonly #shared = new SharedTurns()
  #draining = false

  constructor(deps: TurnsDeps) {
    this.#deps = deps
  }

  /**
   * Takes an input: when this resolves it is durable, and the turn goes on by itself. What cannot be taken is
   * thrown before anything is kept.
   */
  async begin(ask: Ask): Promise<Begun> {
    if (this.#draining) throw DaehwaError.of('server_shutting_down').after(5)
    const { store, now, turnTimeout } = this.#deps
    const id = this.#ids.next('resp', now()) // made when the place is taken: ids sort as places do
    let place: Place
    try {
      place = this.#enter(ask)
    } catch (busy) {
      // A message that was taken before is not a new one, however many wait.
      const known = ask.idempotency && (await store.known(ask.key.tenant, ask.idempotency, now()))
      if (known === undefined) throw busy
      return this.#replay(ask, known)
    }
    try {
      const turn = await newTurn(this.#deps, id, ask)
      const accepted = await store.accept(turn, place.first ? now() + turnTimeout : undefined)
      if (accepted.existing) {
        place.leave()
        return await this.#replay(ask, accepted.turnId)
      }
      const kept = { ...turn, id: accepted.turnId }
      if (ask.strategy === 'interrupt') place.interruptOther()
      return { turn: this.#carry(place, kept, accepted.claim), replayed: false }
    } catch (error) {
      place.leave()
      throw error
    }
  }

  /** A turn of this tenant, running or ended. @throws DaehwaError `not_found` */
  async find(tenant: string, id: string): Promise<Followable> {
    const visit = this.#visits.get(id)
    if (visit?.tenant === tenant) return visit.live
    return this.#shared.read(`${tenant}\0${id}`, async () => {
      const record = await this.#deps.store.turn(tenant, id)
      if (record === undefined) throw DaehwaError.of('not_found', { what: 'such turn' })
      return endedTurn(record, () => this.#deps.store.hasTurn(tenant, id))
    })
  }

  /** Stops a turn, waiting or running; one that has ended stays as it is. Resolves when it has ended. */
  async cancel(tenant: string, id: string): Promise<TurnRecord> {
    const turn = await this.find(tenant, id)
    this.#visits.get(id)?.abort.abort(DaehwaError.of('turn_cancelled'))
    return turn.ended
  }

  /** Erases a history, or a whole client. What is being answered for it is stopped and never enters it. */
  async clear(key: ConversationKey, what: 'history' | 'client' = 'history'): Promise<number> {
    const { store, now, log } = this.#deps
    const erase = what === 'client' ? store.forget : store.clear
    const { messages, turns, conversation } = await erase(key, now())
    if (conversation !== undefined) this.#deps.compactor.cancel(conversation)
    for (const id of turns) this.#visits.get(id)?.abort.abort(DaehwaError.of('history_deleted'))
    await store.scrub().catch((error: unknown) => {
      log.warn(
        { code: codeOf(error) },
        'a history is cleared, but its words are in the log of the database until it is emptied',
      )
    })
    return messages
  }

  /** After a start, before anything is asked: runs what was accepted and not yet sent when the server ended. */
  async recover(): Promise<void> {
    const { store, log, now } = this.#deps
    const queued = await store.recover(now())
    if (queued.length > 0) log.info({ turns: queued.length }, 'running the turns that were waiting')
    for (const turn of queued) {
      const place = this.#lanes.enter(laneOf(turn.key), Number.POSITIVE_INFINITY)
      this.#carry(place, turn, undefined)
    }
  }

  /** Takes nothing new, gives what runs `grace` milliseconds, then ends it as `server_shutting_down`. */
  async drain(grace: number): Promise<void> {
    this.#draining = true
    const timer = setTimeout(() => {
      for (const { abort } of this.#visits.values()) abort.abort(DaehwaError.of('server_shutting_down'))
    }, grace)
    while (this.#unfinished.size > 0) await Promise.allSettled(this.#unfinished)
    clearTimeout(timer)
    await this.#deps.compactor.stop()
  }

  #enter({ key, strategy = 'enqueue' }: Ask): Place {
    const maxWaiting = strategy === 'reject' ? 0 : this.#deps.maxWaiting
    return this.#lanes.enter(laneOf(key), maxWaiting, strategy === 'interrupt')
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
    this.#visits.set(turn.id, visit)
    place.onInterrupt(() => abort.abort(DaehwaError.of('turn_cancelled')))
    const run = async () => {
      try {
        const unkept = await carryTurn(this.#deps, place, turn, claimed, live, abort)
        place.leave()
        if (unkept !== undefined) await this.#untilKept(turn.id, unkept)
      } finally {
        place.leave()
        // A retry with the same key may have begun the same turn anew in the meantime.
        if (this.#visits.get(turn.id) === visit) this.#visits.delete(turn.id)
      }
    }
    void this.#track(run())
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

  #track<T>(work: Promise<T>): Promise<T> {
    const tracked = work.finally(() => this.#unfinished.delete(tracked))
    this.#unfinished.add(tracked)
    return tracked
  }
}

const laneOf = ({ tenant, client }: ConversationKey): string => `${tenant}\0${client}`
