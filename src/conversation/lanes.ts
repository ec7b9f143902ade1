import { DaehwaError } from './errors.ts'

/** A place in a lane. `leave` must be called once it is no longer needed; calling it again does nothing. */
export interface Place {
  readonly lane: string
  /** Whether nobody was in the lane before. */
  readonly first: boolean
  /** Whether its turn has come. */
  readonly entered: boolean
  /** Resolves when all before it have left. */
  readonly ready: Promise<void>
  leave(): void
}

/**
 * First in, first out, one at a time per key. A lane stands in memory only while somebody is in it.
 */
export class Lanes {
  readonly #lanes = new Map<string, Waiting[]>()

  get size(): number {
    return this.#lanes.size
  }

  /**
   * Takes the last place of a lane, or with `next` the one behind whoever is in it now.
   *
   * @throws DaehwaError `conversation_busy` when somebody is in it and `maxWaiting` are waiting already
   */
  enter(lane: string, maxWaiting: number, next = false): Place {
    const waiting = this.#lanes.get(lane)
    if (waiting !== undefined && waiting.length >= maxWaiting) {
      throw DaehwaError.of('conversation_busy', { waiting: waiting.length }).after(5)
    }
    const place = new Waiting(lane, waiting === undefined, () => this.#leave(place))
    if (waiting === undefined) this.#lanes.set(lane, [])
    else if (next) waiting.unshift(place)
    else waiting.push(place)
    return place
  }

  #leave(place: Waiting): void {
    const waiting = this.#lanes.get(place.lane)
    const at = waiting?.indexOf(place) ?? -1
    if (at !== -1) {
      waiting?.splice(at, 1)
      return
    }
    const next = waiting?.shift()
    if (next === undefined) this.#lanes.delete(place.lane)
    else next.enter()
  }
}

class Waiting implements Place {
  readonly lane: string
  readonly first: boolean
  readonly ready: Promise<void>
  entered = false
  readonly #resolve: () => void
  readonly #onLeave: () => void
  #left = false

  constructor(lane: string, first: boolean, onLeave: () => void) {
    this.lane = lane
    this.first = first
    const { promise, resolve } = Promise.withResolvers<void>()
    this.ready = promise
    this.#resolve = resolve
    this.#onLeave = onLeave
    if (first) this.enter()
  }

  enter(): void {
    this.entered = true
    this.#resolve()
  }

  leave(): void {
    if (this.#left) return
    this.#left = true
    this.#onLeave()
  }
}
