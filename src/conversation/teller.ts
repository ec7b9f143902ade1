import { Bell } from './bell.ts'
import { type Asked, askedChannel, laneChannel, readAsked, type Told, turnChannel } from './channels.ts'
import type { ConversationKey } from './conversation.ts'
import type { LiveTurn } from './live-turn.ts'
import type { Feed } from './ports.ts'
import type { Store } from './store.ts'
import { isEnded } from './turn.ts'
import type { TurnEvent } from './turn-event.ts'
import type { Visit, Visits } from './visits.ts'

/** How often a turn is told of that says nothing new, and how often what is new is written down for others. Milliseconds. */
const every = { beat: 200, write: 250 } as const
/** How many events go into one message. */
const atOnce = 100

interface TellerDeps {
  readonly store: Store
  readonly feed: Feed
  readonly instance: () => string
}

/** One who has asked for a turn is told of it from this number on. */
interface Relay {
  next: number
  readonly stop: AbortController
}

/** Tells other instances of the turns that run here: over the feed when one asks, or else by what it writes down. */
export class Teller {
  readonly #deps: TellerDeps
  readonly #visits: Visits
  readonly #relays = new Map<string, Relay>()
  readonly #written = new Set<string>()

  constructor(deps: TellerDeps, visits: Visits) {
    this.#deps = deps
    this.#visits = visits
  }

  /** Does what others ask for, until what it answers is disposed of. `look` is called when they have ended turns of this instance. */
  listen(look: () => void): Disposable {
    return this.#deps.feed.listen(askedChannel, (message) => {
      const asked = readAsked(message)
      if (asked === undefined) return
      if ('tell' in asked) this.#relay(asked.tell, asked.after)
      else if (asked.look.some((id) => this.#visits.get(id) !== undefined)) look()
    })
  }

  /** Others may run these turns, and are to look at what has become of them. */
  tellToLook(ids: readonly string[]): void {
    const others = ids.filter((id) => this.#visits.get(id) === undefined)
    if (others.length > 0)
      this.#deps.feed.tell(askedChannel, JSON.stringify({ look: others } satisfies Asked))
  }

  /** A turn of a conversation has ended here: another instance may have the next one. */
  tellFree(key: ConversationKey): void {
    if (this.#deps.feed.alive) this.#deps.feed.tell(laneChannel(key), '')
  }

  /** Writes down what comes of these turns, as long as they run. */
  write(ids: readonly string[]): void {
    for (const id of ids) {
      const visit = this.#visits.get(id)
      if (visit === undefined || this.#written.has(id)) continue
      this.#written.add(id)
      this.#keepWriting(id, visit).finally(() => this.#written.delete(id))
    }
  }

  #relay(id: string, after: number): void {
    const live = this.#visits.get(id)?.live
    const known = this.#relays.get(id)
    if (live === undefined || (known !== undefined && known.next <= after + 1)) return
    known?.stop.abort()
    const relay = { next: after + 1, stop: new AbortController() }
    this.#relays.set(id, relay)
    const beat = setInterval(() => this.#tell(id, { events: [], next: relay.next, ended: false }), every.beat)
    this.#tellAll(id, live, relay).finally(() => {
      clearInterval(beat)
      if (this.#relays.get(id) === relay) this.#relays.delete(id)
    })
  }

  async #tellAll(id: string, live: LiveTurn, relay: Relay): Promise<void> {
    for await (const all of live.follow(relay.next - 1, relay.stop.signal)) {
      if (isEnded(live.record.status)) break
      for (let at = 0; at < all.length; at += atOnce) {
        const events: readonly TurnEvent[] = all.slice(at, at + atOnce)
        relay.next += events.length
        this.#tell(id, { events, next: relay.next, ended: false })
      }
    }
    if (!relay.stop.signal.aborted) this.#tell(id, { events: [], next: relay.next, ended: true })
  }

  #tell(id: string, told: Told): void {
    this.#deps.feed.tell(turnChannel(id), JSON.stringify(told))
  }

  async #keepWriting(id: string, { tenant, live }: Visit): Promise<void> {
    const { store, instance } = this.#deps
    const bell = new Bell()
    let over = false
    live.ended.finally(() => {
      over = true
      bell.ring()
    })
    for (let written = 0; !over; await bell.wait(every.write)) {
      const count = live.pieces
      if (count === written) continue
      const write = async () => store.keepProgress({ tenant, id, owner: instance() }, live.output)
      await write().then(
        () => (written = count),
        () => {}, // the next one holds it too
      )
    }
  }
}
