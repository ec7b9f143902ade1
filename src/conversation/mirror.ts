import { Bell } from './bell.ts'
import { askedChannel, readTold, turnChannel } from './channels.ts'
import { endedTurn, type Followable, textAfter } from './follow-turn.ts'
import type { Feed, Monotonic } from './ports.ts'
import { Readers } from './readers.ts'
import type { Store } from './store.ts'
import { isEnded, type TurnRecord } from './turn.ts'
import { eventsOf, type TurnEvent } from './turn-event.ts'

/** How often the database is asked what has become of a turn, when nothing is heard of it and when something is. Milliseconds. */
const lookAgain = { unheard: 250, heard: 500 } as const
/** An owner who tells of a turn is never silent for so long. Milliseconds. */
const silence = 500
/** After every number there is: only the end is to be told. */
const onlyTheEnd = Number.MAX_SAFE_INTEGER

export interface MirrorDeps {
  readonly store: Store
  readonly feed: Feed
  readonly clock: Monotonic
}

/**
 * A turn that runs on another instance, for its readers here. Its owner tells of it over the feed. Where nothing is heard,
 * the owner is asked by a mark in the database to write down what has come, and that is read.
 */
export class Mirror implements Followable {
  readonly record: TurnRecord
  readonly ended: Promise<TurnRecord>
  readonly #deps: MirrorDeps
  readonly #tenant: string
  readonly #readers = new Readers()
  readonly #bell = new Bell()
  readonly #events: TurnEvent[] = []
  #end: TurnRecord | undefined
  #stop: TurnRecord | undefined
  #followers = 0
  #marked = false
  /** By the monotonic clock. */
  #heardAt = Number.NEGATIVE_INFINITY
  #askedAt = Number.POSITIVE_INFINITY

  constructor(
    deps: MirrorDeps,
    tenant: string,
    record: TurnRecord,
    erased: (turn: TurnRecord) => TurnRecord,
  ) {
    this.#deps = deps
    this.#tenant = tenant
    this.record = record
    this.ended = this.#watch(erased)
  }

  async *follow(after: number, signal: AbortSignal): AsyncGenerator<readonly TurnEvent[], void, undefined> {
    this.#followers++
    this.#tellOwner()
    this.#bell.ring()
    let next = after + 1
    try {
      for await (const events of this.#readers.read(
        this.#events,
        after,
        () => this.#end !== undefined,
        signal,
      )) {
        next += events.length
        yield events
      }
      if (this.#end !== undefined) yield* endedTurn(this.#end, async () => true).follow(next - 1, signal)
    } finally {
      this.#followers--
    }
  }

  async erased(): Promise<boolean> {
    return !(await this.#deps.store.hasTurn(this.#tenant, this.record.id))
  }

  behind(after: number): number {
    return textAfter(this.#events, after)
  }

  /** Ends it for its readers here, unless it has ended by now. */
  stop(record: TurnRecord): void {
    this.#stop = record
    this.#bell.ring()
  }

  async #watch(erased: (turn: TurnRecord) => TurnRecord): Promise<TurnRecord> {
    const { store, feed } = this.#deps
    using _ = feed.listen(turnChannel(this.record.id), (message) => this.#hear(message))
    for (;;) {
      // While the storage fails nothing is known: it is asked again.
      const kept = await store.turn(this.#tenant, this.record.id).catch(() => this.record)
      const end = kept === undefined ? erased(this.record) : isEnded(kept.status) ? kept : this.#stop
      if (end !== undefined) {
        this.#end = end
        this.#readers.wake()
        return end
      }
      if (kept !== undefined) this.#take(eventsOf(kept))
      await this.#ask()
      await this.#bell.wait(this.#isSilent ? lookAgain.unheard : lookAgain.heard)
    }
  }

  get #isSilent(): boolean {
    const { feed, clock } = this.#deps
    return !feed.alive || clock() - this.#heardAt > silence
  }

  /** Asks the owner to tell, unless it does; by the database, once, where it seems not to hear. */
  async #ask(): Promise<void> {
    if (!this.#isSilent) return
    const { feed, clock, store } = this.#deps
    const unheard = !feed.alive || clock() - this.#askedAt > silence
    this.#askedAt = Math.min(this.#askedAt, clock())
    this.#tellOwner()
    if (!unheard || this.#marked || this.#followers === 0) return
    this.#marked = true
    await store.markFollowed(this.#tenant, this.record.id).catch(() => {
      this.#marked = false
    })
  }

  #tellOwner(): void {
    const after = this.#followers === 0 ? onlyTheEnd : this.#events.length - 1
    this.#deps.feed.tell(askedChannel, JSON.stringify({ tell: this.record.id, after }))
  }

  #hear(message: string): void {
    const told = readTold(message)
    if (told === undefined) return
    this.#heardAt = this.#deps.clock()
    this.#take(told.events)
    if (told.ended) this.#bell.ring()
    else if (told.next > this.#events.length && this.#followers > 0) this.#tellOwner()
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
