import { DaehwaError } from './errors.ts'

/** A place in a lane. `leave` must be called once it is no longer needed; calling it again does nothing. */
export interface Place {
  /** Whether nobody was in the lane before. */
  readonly first: boolean
  /** Resolves when all before it have left. */
  readonly ready: Promise<void>
  /** Has `callback` called when somebody wants whoever is in the lane to stop, even if that was before this. */
  onInterrupt(callback: () => void): void
  /** Asks whoever is in the lane, if that is somebody else, to stop. */
  interruptOther(): void
  leave(): void
}

interface Lane {
  inside: LanePlace
  readonly waiting: LanePlace[]
}

/**
 * First in, first out, one at a time per key. A lane stands in memory only while somebody is in it.
 */
export class Lanes {
  readonly #lanes = new Map<string, Lane>()

  get size(): number {
    return this.#lanes.size
  }

  /**
   * Takes the last place of a lane, or with `next` the one behind whoever is in it now.
   *
   * @throws DaehwaError `conversation_busy` when somebody is in it and `maxWaiting` are waiting already
   */
  enter(key: string, maxWaiting: number, next = false): Place {
    const lane = this.#lanes.get(key)
    if (lane === undefined) {
      const place = new LanePlace(this.#lanes, key)
      this.#lanes.set(key, { inside: place, waiting: [] })
      place.enter(true)
      return place
    }
    if (lane.waiting.length >= maxWaiting) {
      throw DaehwaError.of('conversation_busy', { waiting: lane.waiting.length }).after(5)
    }
    const place = new LanePlace(this.#lanes, key)
    if (next) lane.waiting.unshift(place)
    else lane.waiting.push(place)
    return place
  }
}

class LanePlace implements Place {
  first = false
  readonly ready: Promise<void>
  readonly #lanes: Map<string, Lane>
  readonly #key: string
  readonly #resolve: () => void
  #interrupted = false
  #onInterrupt: (() => void) | undefined
  #left = false

  constructor(lanes: Map<string, Lane>, key: string) {
    this.#lanes = lanes
    this.#key = key
    const { promise, resolve } = Promise.withResolvers<void>()
    this.ready = promise
    this.#resolve = resolve
  }

  enter(first: boolean): void {
    this.first = first
    this.#resolve()
  }

  onInterrupt(callback: () => void): void {
    this.#onInterrupt = callback
    if (this.#interrupted) callback()
  }

  interruptOther(): void {
    const inside = this.#lanes.get(this.#key)?.inside
    if (inside !== undefined && inside !== this) inside.#interrupt()
  }

  leave(): void {
    if (this.#left) return
    this.#left = true
    const lane = this.#lanes.get(this.#key)
    if (lane === undefined) return
    if (lane.inside !== this) {
      lane.waiting.splice(lane.waiting.indexOf(this), 1)
      return
    }
    const next = lane.waiting.shift()
    if (next === undefined) {
      this.#lanes.delete(this.#key)
      return
    }
    lane.inside = next
    next.enter(false)
  }

  #interrupt(): void {
    this.#interrupted = true
    this.#onInterrupt?.()
  }
}
