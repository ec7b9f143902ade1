import { DaehwaError } from './errors.ts'

/** A place in a lane. `ready` resolves when all before it have left; `leave` must be called once, always. */
export interface Place {
  /** Whether nobody was in the lane before. */
  readonly first: boolean
  readonly ready: Promise<void>
  leave(): void
}

/**
 * First in, first out, one at a time per key. A lane stands in memory only while somebody is in it.
 */
export class Lanes {
  readonly #lanes = new Map<string, (() => void)[]>()

  get size(): number {
    return this.#lanes.size
  }

  /** @throws DaehwaError `conversation_busy` when `maxWaiting` are waiting already */
  enter(key: string, maxWaiting: number): Place {
    const lane = this.#lanes.get(key)
    if (lane === undefined) {
      this.#lanes.set(key, [])
      return { first: true, ready: Promise.resolve(), leave: () => this.#next(key) }
    }
    if (lane.length >= maxWaiting) {
      throw DaehwaError.of('conversation_busy', { waiting: lane.length }).after(5)
    }
    const { promise, resolve } = Promise.withResolvers<void>()
    lane.push(resolve)
    const leave = () => {
      const waiting = lane.indexOf(resolve)
      if (waiting === -1) this.#next(key)
      else lane.splice(waiting, 1)
    }
    return { first: false, ready: promise, leave }
  }

  #next(key: string): void {
    const next = this.#lanes.get(key)?.shift()
    if (next === undefined) this.#lanes.delete(key)
    else next()
  }
}
