import type { Owner } from './access/caller.ts'
import type { ConversationKey } from './conversation.ts'
import { DaehwaError } from './errors.ts'
import type { WatchedTurn } from './instance-store.ts'
import type { LiveTurn } from './live-turn.ts'
import type { Store } from './store.ts'

/** A turn that was just accepted is not known yet: it must be missing so many looks in a row. */
const strayAfter = 10

/** A turn on its way through its lane. */
export interface Visit {
  readonly key: ConversationKey
  readonly abort: AbortController
  readonly live: LiveTurn
}

/** Every turn that has not ended here, waiting ones too, by id. */
export class Visits {
  readonly #visits = new Map<string, Visit>()
  /** How often a turn was seen that is not among them. */
  #strays = new Map<string, number>()

  add(id: string, visit: Visit): void {
    this.#visits.set(id, visit)
  }

  /** A retry with the same key may have begun the same turn anew in the meantime: that one stays. */
  delete(id: string, visit: Visit): void {
    if (this.#visits.get(id) === visit) this.#visits.delete(id)
  }

  get(id: string): Visit | undefined {
    return this.#visits.get(id)
  }

  get size(): number {
    return this.#visits.size
  }

  counts(): { running: number; waiting: number } {
    const counts = { running: 0, waiting: 0 }
    for (const { live } of this.#visits.values()) {
      if (live.record.status === 'in_progress') counts.running++
      else if (live.record.status === 'queued') counts.waiting++
    }
    return counts
  }

  of({ tenant, client }: Owner, id: string): Visit | undefined {
    const visit = this.#visits.get(id)
    const isTheirs = visit?.key.tenant === tenant && (client ?? visit.key.client) === visit.key.client
    return isTheirs ? visit : undefined
  }

  abort(ids: readonly string[], error: DaehwaError): void {
    for (const id of ids) this.#visits.get(id)?.abort.abort(error)
  }

  abortAll(error: () => DaehwaError): void {
    for (const { abort } of this.#visits.values()) abort.abort(error())
  }

  /** Stops what other instances have ended, or were asked to cancel. Answers all that has not ended, by what the database says. */
  async stopEnded(store: Store, instance: string): Promise<readonly WatchedTurn[]> {
    const visits = [...this.#visits]
    const unended = await store.unended(instance)
    const cancelled = new Map(unended.map((turn) => [turn.id, turn.cancelled]))
    for (const [id, { key, abort }] of visits) {
      if (abort.signal.aborted || !this.#visits.has(id)) continue
      if (cancelled.get(id) === true) abort.abort(DaehwaError.of('turn_cancelled'))
      if (cancelled.has(id)) continue
      const kept = await store.turn(key.tenant, id)
      if (kept === undefined) abort.abort(DaehwaError.of('history_deleted'))
      else if (kept.error !== undefined) abort.abort(DaehwaError.restore(kept.error))
    }
    return unended
  }

  /**
   * Gives away what this instance does not know of: when the answer to a write was lost, a turn may be its own without its
   * knowledge, and nobody would ever run it.
   */
  async disownStrays(store: Store, instance: string, unended: readonly WatchedTurn[]): Promise<void> {
    const strays = unended.filter(({ id }) => !this.#visits.has(id))
    this.#strays = new Map(strays.map(({ id }) => [id, (this.#strays.get(id) ?? 0) + 1]))
    const given = strays.filter(({ id }) => (this.#strays.get(id) ?? 0) >= strayAfter)
    if (given.length > 0) await store.disown(instance, given)
  }
}
