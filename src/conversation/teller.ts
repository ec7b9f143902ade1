import { Bell } from './bell.ts'
import { type Asked, askedChannel, laneChannel, readAsked, type Try, turnChannel } from './channels.ts'
import type { ConversationKey } from './conversation.ts'
import type { LiveTurn } from './live-turn.ts'
import type { Feed, Monotonic } from './ports.ts'
import type { Store } from './store.ts'
import { isEnded } from './turn.ts'
import type { TurnEvent } from './turn-event.ts'
import type { Visit, Visits } from './visits.ts'

/** How often a turn is told of that says nothing new, and how often what is new is written down for others. Milliseconds. */
const every = { beat: 200, write: 250 } as const
/** A turn that nobody has asked for in so long is told no more. Milliseconds. */
const forgotten = 6_000
/** How much goes into one message, in UTF-16 units of JSON; what is larger by itself than the second is not told. */
const atOnce = { message: 64 * 1024, event: 1024 * 1024 } as const

interface TellerDeps {
  readonly store: Store
  readonly feed: Feed
  readonly clock: Monotonic
  readonly instance: () => string
}

/** A turn that is told, from this number on. */
interface Relay {
  next: number
  asked: number
  beyond: boolean
  readonly live: LiveTurn
  readonly stop: AbortController
}

/** Tells other instances of the turns that run here: over the feed when one asks, or else by what it writes down. */
export class Teller {
  readonly #deps: TellerDeps
  readonly #visits: Visits
  readonly #relays = new Map<string, Relay>()
  readonly #writing = new Set<LiveTurn>()
  #followed: ReadonlySet<string> = new Set()

  constructor(deps: TellerDeps, visits: Visits) {
    this.#deps = deps
    this.#visits = visits
  }

  /** Does what others ask for, until what it answers is disposed of. `look` is called when they have ended turns of this instance. */
  listen(look: () => void): Disposable {
    return this.#deps.feed.listen(askedChannel, (message) => {
      const asked = readAsked(message)
      if (asked === undefined) return
      if ('tell' in asked) this.#relay({ id: asked.tell, createdAt: asked.createdAt }, asked.after + 1)
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

  /** Writes down what comes of these turns as long as they run, and of no others any more. */
  write(ids: readonly string[]): void {
    this.#followed = new Set(ids)
    for (const id of ids) {
      const visit = this.#visits.get(id)
      if (visit === undefined || this.#writing.has(visit.live)) continue
      this.#writing.add(visit.live)
      void this.#keepWriting(id, visit)
    }
  }

  #relay(turn: Try, next: number): void {
    const { clock } = this.#deps
    const live = this.#visits.get(turn.id)?.live
    if (live === undefined || live.record.createdAt !== turn.createdAt) return
    const known = this.#relays.get(turn.id)
    if (known !== undefined && known.live === live) {
      known.asked = clock()
      if (known.next <= next) return
    }
    known?.stop.abort()
    const relay = { next, asked: clock(), beyond: false, live, stop: new AbortController() }
    this.#relays.set(turn.id, relay)
    void this.#tellAll(turn, relay)
  }

  async #tellAll(turn: Try, relay: Relay): Promise<void> {
    const { feed, clock } = this.#deps
    const { live, stop } = relay
    const tell = (events: readonly string[] = [], ended = false) => {
      const about = `"next":${relay.next},"ended":${ended},"beyond":${relay.beyond}`
      feed.tell(turnChannel(turn), `{"events":[${events.join()}],${about}}`)
    }
    const beat = setInterval(() => {
      if (clock() - relay.asked > forgotten) stop.abort()
      else tell()
    }, every.beat)
    for await (const all of live.follow(relay.next - 1, stop.signal)) {
      if (isEnded(live.record.status)) break
      for (const { events, next, beyond } of messagesOf(all)) {
        relay.next = next
        relay.beyond ||= beyond
        tell(events)
      }
    }
    clearInterval(beat)
    if (!stop.signal.aborted) tell([], true)
    if (this.#relays.get(turn.id) === relay) this.#relays.delete(turn.id)
  }

  async #keepWriting(id: string, { key: { tenant }, live }: Visit): Promise<void> {
    const { store, instance } = this.#deps
    const { createdAt } = live.record
    const bell = new Bell()
    let over = false
    void live.ended.then(() => {
      over = true
      bell.ring()
    })
    for (let written = 0; !over && this.#followed.has(id); await bell.wait(every.write)) {
      const count = live.pieces
      if (count === written) continue
      const write = async () => store.keepProgress({ tenant, id, createdAt, owner: instance() }, live.output)
      await write().then(
        () => (written = count),
        () => {}, // the next one holds it too
      )
    }
    this.#writing.delete(live)
  }
}

/** Events as JSON, in messages that are not too long. One that is too long by itself is left out, and whoever waits for it reads it. */
function* messagesOf(
  all: readonly TurnEvent[],
): Generator<{ events: string[]; next: number; beyond: boolean }> {
  let events: string[] = []
  let size = 0
  for (const event of all) {
    const json = JSON.stringify(event)
    const beyond = json.length > atOnce.event
    if (beyond || size + json.length > atOnce.message) {
      yield { events, next: event.sequence_number, beyond }
      ;[events, size] = [[], 0]
    }
    if (beyond) continue
    events.push(json)
    size += json.length
  }
  const last = all.at(-1)
  if (last !== undefined) yield { events, next: last.sequence_number + 1, beyond: false }
}
