import { DaehwaError } from './errors.ts'

/** A place in a lane. `leave` must be called once it is no longer needed; calling it again does nothing. */
export interface Place {
  /** Whether this one is in the lane, and all others wait. */
  readonly inside: boolean
  /** Resolves when it is inside. */
  readonly ready: Promise<void>
  /** Resolves when all that came before have their rank, or have left: so ranks are given in the order they came. */
  readonly mayRank: Promise<void>
  /** Sets where it stands among those that wait; until then it is behind all that have a rank. */
  rank(rank: string): void
  /** Lets the first of those that wait in, should it stand before this one, which then waits again. */
  stepAside(): void
  leave(): void
}

interface Lane {
  inside: LanePlace
  readonly waiting: Set<LanePlace>
  /** Whoever came last. */
  last: LanePlace
}

const done = Promise.resolve()

/**
 * One at a time per key, in the order of their ranks, which is that of their coming where nobody says otherwise. A lane
 * stands in memory only while somebody is in it.
 */
export class Lanes {
  readonly #lanes = new Map<string, Lane>()

  get size(): number {
    return this.#lanes.size
  }

  /** @throws DaehwaError `conversation_busy` when somebody is in the lane and `maxWaiting` are waiting already */
  enter(key: string, maxWaiting: number): Place {
    const lane = this.#lanes.get(key)
    const waiting = lane?.waiting.size ?? 0
    if (lane !== undefined && waiting >= maxWaiting) {
      throw DaehwaError.of('conversation_busy', { waiting }).after(5)
    }
    const place = new LanePlace(this.#lanes, key, lane?.last.ranked ?? done)
    if (lane === undefined) this.#lanes.set(key, { inside: place, waiting: new Set(), last: place })
    else {
      lane.waiting.add(place)
      lane.last = place
    }
    return place
  }
}

class LanePlace implements Place {
  readonly mayRank: Promise<void>
  readonly #lanes: Map<string, Lane>
  readonly #key: string
  /** These are made when somebody waits: most are alone in their lane. */
  #ranked: PromiseWithResolvers<void> | undefined
  #ready: PromiseWithResolvers<void> | undefined
  #rank: string | undefined
  #left = false

  constructor(lanes: Map<string, Lane>, key: string, mayRank: Promise<void>) {
    this.#lanes = lanes
    this.#key = key
    this.mayRank = mayRank
  }

  get inside(): boolean {
    return this.#lanes.get(this.#key)?.inside === this
  }

  get ready(): Promise<void> {
    if (this.inside) return done
    this.#ready ??= Promise.withResolvers()
    return this.#ready.promise
  }

  /** Resolves when it has its rank, and all before it have theirs. */
  get ranked(): Promise<void> {
    if (this.#left || this.#rank !== undefined) return this.mayRank
    this.#ranked ??= Promise.withResolvers()
    const { promise } = this.#ranked
    return this.mayRank.then(() => promise)
  }

  enter(): void {
    this.#ready?.resolve()
  }

  rank(rank: string): void {
    this.#rank = rank
    this.#ranked?.resolve()
  }

  stepAside(): void {
    const lane = this.#lanes.get(this.#key)
    const next = lane && firstOf(lane.waiting)
    if (lane?.inside !== this || next?.isBefore(this) !== true) return
    this.#ready = undefined
    lane.waiting.delete(next)
    lane.waiting.add(this)
    lane.inside = next
    next.enter()
  }

  leave(): void {
    if (this.#left) return
    this.#left = true
    this.#ranked?.resolve()
    const lane = this.#lanes.get(this.#key)
    if (lane === undefined || lane.waiting.delete(this)) return
    const next = firstOf(lane.waiting)
    if (next === undefined) {
      this.#lanes.delete(this.#key)
      return
    }
    lane.waiting.delete(next)
    lane.inside = next
    next.enter()
  }

  isBefore(other: LanePlace): boolean {
    return this.#rank !== undefined && (other.#rank === undefined || this.#rank < other.#rank)
  }
}

function firstOf(waiting: ReadonlySet<LanePlace>): LanePlace | undefined {
  let first: LanePlace | undefined
  for (const place of waiting) {
    if (first === undefined || place.isBefore(first)) first = place
  }
  return first
}
