import { type CarryDeps, carryTurn } from './carry-turn.ts'
import type { Elsewhere } from './elsewhere.ts'
import { codeOf } from './errors.ts'
import type { Place } from './lanes.ts'
import { LiveTurn } from './live-turn.ts'
import { recordOf } from './new-turn.ts'
import type { Span } from './observer.ts'
import type { Unkept } from './run-turn.ts'
import type { Claim, NewTurn, QueuedTurn } from './store.ts'
import type { Teller } from './teller.ts'
import type { Visits } from './visits.ts'

/** Milliseconds between two tries to end a turn in a storage that fails. */
const endAgain = 1_000

/** The turns that are on their way here, to their end, whether or not somebody still listens. */
export class RunningTurns {
  readonly #deps: CarryDeps & { readonly elsewhere: Elsewhere }
  readonly #visits: Visits
  readonly #teller: Teller
  readonly #unfinished = new Set<Promise<unknown>>()
  #draining = false

  constructor(deps: CarryDeps & { readonly elsewhere: Elsewhere }, visits: Visits, teller: Teller) {
    this.#deps = deps
    this.#visits = visits
    this.#teller = teller
  }

  get draining(): boolean {
    return this.#draining
  }

  /** Lets a turn go its way: it waits, runs and ends, and leaves its lane. */
  carry(place: Place, turn: NewTurn | QueuedTurn, claimed: Claim | undefined, of?: Span): LiveTurn {
    const abort = new AbortController()
    const live = new LiveTurn(recordOf(turn), this.#deps.observer.turn(turn.id, of))
    const visit = { key: turn.key, abort, live }
    this.#visits.add(turn.id, visit)
    const run = async () => {
      try {
        const unkept = await carryTurn(this.#deps, place, turn, claimed, live, abort)
        place.leave()
        if (unkept !== undefined) await this.#untilKept(turn.id, unkept)
      } finally {
        this.#unfinished.delete(running)
        place.leave()
        live.span.end()
        this.#visits.delete(turn.id, visit)
        this.#teller.tellFree(turn.key)
      }
    }
    const running = run()
    this.#unfinished.add(running)
    return live
  }

  /** From here on nothing is tried again. Resolves when all have ended. */
  async drain(): Promise<void> {
    this.#draining = true
    while (this.#unfinished.size > 0) await Promise.allSettled(this.#unfinished)
  }

  /**
   * Writes the end of a turn that the storage did not take, for as long as it takes: no restart may run what its
   * sender was told had failed. Until then the turn is still read from memory.
   */
  async #untilKept(id: string, write: Unkept): Promise<void> {
    while (!this.#draining) {
      await new Promise((resolve) => setTimeout(resolve, endAgain))
      try {
        return await write()
      } catch (error) {
        this.#deps.log.error({ turn: id, code: codeOf(error) }, 'the end of a turn could not be stored yet')
      }
    }
    await write().catch(() => {})
  }
}
