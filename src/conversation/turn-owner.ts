import { type Asked, askedChannel, type Try } from './channels.ts'
import type { Feed, Monotonic } from './ports.ts'
import type { Store } from './store.ts'

/** One who tells of a turn is never silent for so long. Milliseconds. */
const silence = 500
/** How often the same is asked at most, and how often at least. Milliseconds. */
const asking = { atMost: 100, atLeast: 2_000 } as const
/** After every number there is: only the end is to be told. */
const onlyTheEnd = Number.MAX_SAFE_INTEGER

export interface TurnOwnerDeps {
  readonly store: Store
  readonly feed: Feed
  readonly clock: Monotonic
}

/**
 * The instance that runs a turn, as its readers elsewhere reach it: over the feed, and as long as nothing is heard there
 * by a mark in the database. Times are those of the monotonic clock.
 */
export class TurnOwner {
  readonly #deps: TurnOwnerDeps
  #heard = Number.NEGATIVE_INFINITY
  #asked = Number.NEGATIVE_INFINITY
  #marked = Number.NEGATIVE_INFINITY
  #silentSince: number | undefined
  #cannotTell = false

  constructor(deps: TurnOwnerDeps) {
    this.#deps = deps
  }

  get isSilent(): boolean {
    const { feed, clock } = this.#deps
    return this.#cannotTell || !feed.alive || clock() - this.#heard > silence
  }

  /** It has told something; or that there is something that it cannot tell, so that it has to be read. */
  told(beyond: boolean): void {
    this.#heard = this.#deps.clock()
    this.#cannotTell ||= beyond
  }

  /** Asks for the events after the number `after`; undefined: for the end alone. What is asked too soon again is left out: its next sign of life is the next occasion. */
  ask(turn: Try, after: number | undefined): void {
    const { feed, clock } = this.#deps
    if (clock() - this.#asked < asking.atMost) return
    this.#asked = clock()
    const asked: Asked = { tell: turn.id, createdAt: turn.createdAt, after: after ?? onlyTheEnd }
    feed.tell(askedChannel, JSON.stringify(asked))
  }

  /** Asks whenever it must be asked again, and marks the turn as long as the owner seems not to hear. */
  keepAsking(tenant: string, turn: Try, after: number | undefined): void {
    const { feed, clock, store } = this.#deps
    const now = clock()
    this.#silentSince = this.isSilent ? (this.#silentSince ?? now) : undefined
    if (this.#silentSince !== undefined || now - this.#asked > asking.atLeast) this.ask(turn, after)
    const hears = feed.alive && !this.#cannotTell && now - (this.#silentSince ?? now) <= silence
    if (hears || after === undefined || now - this.#marked < asking.atLeast) return
    this.#marked = now
    store.markFollowed(tenant, turn.id).catch(() => {
      this.#marked = Number.NEGATIVE_INFINITY
    })
  }
}
