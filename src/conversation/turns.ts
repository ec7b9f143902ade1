import type { Frame } from './choose-context.ts'
import type { ConversationKey } from './conversation.ts'
import { codeOf, DaehwaError } from './errors.ts'
import { endedTurn, type Followable } from './follow-turn.ts'
import { OrderedIds } from './ids.ts'
import { Lanes, type Place } from './lanes.ts'
import { LiveTurn } from './live-turn.ts'
import { type Ask, frameOf, type NewTurnDeps, newTurn, recordOf } from './new-turn.ts'
import type { Claim, NewTurn, QueuedTurn } from './ports.ts'
import { failed, type RunDeps, runTurn } from './run-turn.ts'
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
  readonly place: Place
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
    const id = this.#ids.next('resp', this.#deps.now()) // made when the place is taken: ids sort as places do
    const place = this.#enter(ask)
    try {
      const turn = await newTurn(this.#deps, id, ask)
      const frame = await frameOf(this.#deps, turn) // before it is kept: an input that is too long leaves no trace
      const { store, now, turnTimeout } = this.#deps
      const accepted = await store.accept(turn, place.first ? now() + turnTimeout : undefined)
      if (accepted.existing) {
        place.leave()
        return { turn: await this.find(ask.key.tenant, accepted.turnId), replayed: true }
      }
      const kept = { ...turn, id: accepted.turnId }
      return { turn: this.#carry(place, kept, accepted.claim, () => frame), replayed: false }
    } catch (error) {
      place.leave()
      throw error
    }
  }

  /** A turn of this tenant, running or ended. @throws DaehwaError `not_found` */
  async find(tenant: string, id: string): Promise<Followable> {
    const visit = this.#visits.get(id)
    if (visit?.tenant === tenant) return visit.live
    const record = await this.#deps.store.turn(tenant, id)
    if (record === undefined) throw DaehwaError.of('not_found', { what: 'such turn' })
    return endedTurn(record)
  }

  /** Stops a turn, waiting or running; one that has ended stays as it is. Resolves when it has ended. */
  async cancel(tenant: string, id: string): Promise<TurnRecord> {
    const turn = await this.find(tenant, id)
    this.#visits.get(id)?.abort.abort(DaehwaError.of('turn_cancelled'))
    return turn.ended
  }

  /** Erases a history. What is being answered for it is stopped and never enters it. */
  async clear(key: ConversationKey): Promise<number> {
    const { messages, turns } = await this.#deps.store.clear(key, this.#deps.now())
    for (const id of turns) this.#visits.get(id)?.abort.abort(DaehwaError.of('history_deleted'))
    return messages
  }

  /** After a start, before anything is asked: runs what was accepted and not yet sent when the server ended. */
  async recover(): Promise<void> {
    const { store, log, now } = this.#deps
    const queued = await store.recover(now())
    if (queued.length > 0) log.info({ turns: queued.length }, 'running the turns that were waiting')
    for (const turn of queued) {
      const place = this.#lanes.enter(laneOf(turn.key), Number.POSITIVE_INFINITY)
      this.#carry(place, turn, undefined, () => frameOf(this.#deps, turn))
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
  }

  #enter({ key, strategy = 'enqueue' }: Ask): Place {
    const lane = laneOf(key)
    if (strategy === 'enqueue') return this.#lanes.enter(lane, this.#deps.maxWaiting)
    if (strategy === 'reject') return this.#lanes.enter(lane, 0)
    const place = this.#lanes.enter(lane, this.#deps.maxWaiting, true)
    for (const visit of this.#visits.values()) {
      if (visit.place.lane === lane && visit.place.entered)
        visit.abort.abort(DaehwaError.of('turn_cancelled'))
    }
    return place
  }

  /** Lets a turn go its way: it waits, runs and ends, and leaves its lane. */
  #carry(
    place: Place,
    turn: NewTurn | QueuedTurn,
    claimed: Claim | undefined,
    frame: () => Frame | Promise<Frame>,
  ): LiveTurn {
    const abort = new AbortController()
    const live = new LiveTurn(recordOf(turn))
    const visit = { tenant: turn.key.tenant, place, abort, live }
    this.#visits.set(turn.id, visit)
    const run = async () => {
      try {
        const claim = claimed ?? (await this.#claim(visit, turn))
        if (claim !== undefined) await runTurn(this.#deps, claim, live, frame, abort)
      } finally {
        place.leave()
        this.#visits.delete(turn.id)
      }
    }
    void this.#track(run())
    return live
  }

  /** Waits for the turn's time to come; when it does not come any more, the turn is ended here. */
  async #claim({ place, abort, live }: Visit, { id, key }: NewTurn | QueuedTurn): Promise<Claim | undefined> {
    const { store, now, turnTimeout } = this.#deps
    const aborted = new Promise<void>((resolve) => abort.signal.addEventListener('abort', () => resolve()))
    try {
      await Promise.race([place.ready, aborted])
      abort.signal.throwIfAborted()
      const claim = await store.claim(key.tenant, id, now(), now() + turnTimeout)
      if (claim === undefined) throw DaehwaError.of('history_deleted')
      return claim
    } catch (error) {
      const record = failed(live, error, now())
      await this.#endQueued(key.tenant, record)
      live.end(record)
      return undefined
    }
  }

  /**
   * Ends a turn that was kept and could not be begun, so that no restart runs what its sender was told had failed.
   * Where the storage fails, it is tried again until it takes this.
   */
  async #endQueued(tenant: string, record: TurnRecord): Promise<void> {
    const { store, log } = this.#deps
    try {
      await store.endQueued(tenant, record)
    } catch (error) {
      log.error(
        { turn: record.id, code: codeOf(error) },
        'a turn that failed could not be ended in the storage yet',
      )
      if (this.#draining) return
      const again = new Promise((resolve) => setTimeout(resolve, endAgain))
      void this.#track(again.then(() => this.#endQueued(tenant, record)))
    }
  }

  #track<T>(work: Promise<T>): Promise<T> {
    const tracked = work.finally(() => this.#unfinished.delete(tracked))
    this.#unfinished.add(tracked)
    return tracked
  }
}

const laneOf = ({ tenant, client }: ConversationKey): string => `${tenant}\0${client}`
