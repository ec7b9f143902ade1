import { Bell } from './bell.ts'
import { readTold, turnChannel } from './channels.ts'
import { DaehwaError } from './errors.ts'
import { endedTurn, errorEvent, type Followable, textAfter } from './follow-turn.ts'
import type { Now } from './ports.ts'
import { Readers } from './readers.ts'
import { isEnded, type TurnRecord } from './turn.ts'
import { eventsOf, type TurnEvent } from './turn-event.ts'
import { TurnOwner, type TurnOwnerDeps } from './turn-owner.ts'

/** How often the database is asked what has become of a turn, when nothing is heard of it and when something is. Milliseconds. */
const lookAgain = { unheard: 250, heard: 1_000 } as const
/** For how long it is watched when nobody reads it any more: readers come back. Milliseconds. */
const idle = 3_000

export interface MirrorDeps extends TurnOwnerDeps {
  readonly now: Now
  /** Called when it begins to watch its turn, and when it has ceased to. */
  readonly watches: (mirror: Mirror, begun: boolean) => void
}

/**
 * A turn that runs on another instance, for its readers here; without readers it does nothing. Its owner tells of it over
 * the feed. Where nothing is heard, the owner is asked by a mark in the database to write down what has come, and that is read.
 */
export class Mirror implements Followable {
  readonly tenant: string
  readonly #deps: MirrorDeps
  readonly #readers = new Readers()
  readonly #bell = new Bell()
  readonly #events: TurnEvent[] = []
  readonly #ended = Promise.withResolvers<TurnRecord>()
  #record: TurnRecord
  /** What the database says of its end. */
  #end: TurnRecord | undefined
  /** Why nobody is told any more, though it goes on. */
  #stopped: DaehwaError | undefined
  #followers = 0
  #waitedFor = false
  #watching = false
  /** When the last reader left, by the monotonic clock. */
  #left = 0
  readonly #owner: TurnOwner

  constructor(deps: MirrorDeps, tenant: string, record: TurnRecord) {
    this.#deps = deps
    this.tenant = tenant
    this.#record = record
    this.#owner = new TurnOwner(deps)
  }

  /** The turn as it was when it was last looked at. */
  get record(): TurnRecord {
    return this.#end ?? this.#record
  }

  get ended(): Promise<TurnRecord> {
    this.#waitedFor = true
    this.#watch()
    return this.#ended.promise
  }

  /** It was looked at by somebody else. */
  saw(record: TurnRecord): void {
    this.#record = record
  }

  async *follow(after: number, signal: AbortSignal): AsyncGenerator<readonly TurnEvent[], void, undefined> {
    this.#followers++
    this.#watch()
    this.#owner.ask(this.#record, this.#last)
    this.#bell.ring()
    let next = after + 1
    try {
      for await (const events of this.#readers.read(this.#events, after, () => this.#isOver, signal)) {
        next += events.length
        yield events
      }
      if (this.#end !== undefined) yield* endedTurn(this.#end, async () => true).follow(next - 1, signal)
      else if (this.#stopped !== undefined && !signal.aborted)
        yield [errorEvent(this.#stopped, Math.max(0, next - 1))]
    } finally {
      this.#followers--
      this.#left = this.#deps.clock()
    }
  }

  async erased(): Promise<boolean> {
    if (this.#end?.error?.code === 'history_deleted') return true
    return !(await this.#deps.store.hasTurn(this.tenant, this.#record.id))
  }

  behind(after: number): number {
    return textAfter(this.#events, after)
  }

  /** Nobody here is told any more; the turn itself goes on. */
  stop(error: DaehwaError): void {
    if (this.#isOver) return
    this.#stopped = error
    this.#ended.resolve(this.#failed(error))
    this.#readers.wake()
    this.#bell.ring()
  }

  /** Whether somebody waits for more of it. */
  get isRead(): boolean {
    return !this.#isOver && (this.#waitedFor || this.#followers > 0)
  }

  get #isOver(): boolean {
    return this.#end !== undefined || this.#stopped !== undefined
  }

  get #isUsed(): boolean {
    const { clock } = this.#deps
    return this.#waitedFor || this.#followers > 0 || clock() - this.#left < idle
  }

  #watch(): void {
    if (this.#watching || this.#isOver) return
    this.#watching = true
    this.#left = this.#deps.clock()
    this.#deps.watches(this, true)
    void this.#untilUnused()
  }

  async #untilUnused(): Promise<void> {
    const { feed, watches, clock } = this.#deps
    using _ = feed.listen(turnChannel(this.#record), (message) => this.#hear(message))
    let looked = Number.NEGATIVE_INFINITY
    for (let rung = true; !this.#isOver && this.#isUsed; rung = await this.#bell.wait(lookAgain.unheard)) {
      if (rung || this.#owner.isSilent || clock() - looked >= lookAgain.heard) {
        looked = clock()
        await this.#look()
        if (this.#isOver) break
      }
      this.#owner.keepAsking(this.tenant, this.#record, this.#last)
    }
    this.#watching = false
    watches(this, false)
  }

  async #look(): Promise<void> {
    const { id, createdAt } = this.#record
    // While the storage fails nothing is known: it is asked again.
    const kept = await this.#deps.store.turn(this.tenant, id).catch(() => this.#record)
    if (this.#isOver) return
    if (kept === undefined) return this.#finish(this.#failed(DaehwaError.of('history_deleted')))
    if (kept.createdAt !== createdAt)
      return this.#finish(this.#failed(DaehwaError.of('turn_retried').after(1)))
    if (isEnded(kept.status)) return this.#finish(kept)
    this.#record = kept
    this.#take(eventsOf(kept))
  }

  #finish(end: TurnRecord): void {
    this.#end = end
    if (end.error?.code === 'history_deleted') this.#events.length = 0
    this.#ended.resolve(end)
    this.#readers.wake()
  }

  #failed({ code, message, retryAfter }: DaehwaError): TurnRecord {
    const status = code === 'history_deleted' ? 'cancelled' : 'failed'
    return { ...this.#record, status, error: { code, message, retryAfter }, endedAt: this.#deps.now() }
  }

  /** The number of the last event that is known; undefined while nobody asks for events. */
  get #last(): number | undefined {
    return this.#followers === 0 ? undefined : this.#events.length - 1
  }

  #hear(message: string): void {
    const told = readTold(message)
    if (told === undefined) return
    this.#owner.told(told.beyond)
    this.#take(told.events)
    if (told.ended || told.beyond) this.#bell.ring()
    else if (told.next > this.#events.length && this.#followers > 0) this.#owner.ask(this.#record, this.#last)
  }

  /** Takes those events that come next. */
  #take(events: readonly TurnEvent[]): void {
    const known = this.#events.length
    for (const event of events) {
      if (event.sequence_number === this.#events.length) this.#events.push(event)
    }
    if (this.#events.length > known) this.#readers.wake()
  }
}
