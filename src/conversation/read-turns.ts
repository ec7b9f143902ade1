import type { Owner } from './access/caller.ts'
import type { Elsewhere } from './elsewhere.ts'
import { DaehwaError } from './errors.ts'
import { endedTurn, type Followable } from './follow-turn.ts'
import type { Now } from './ports.ts'
import { SharedTurns } from './shared-turns.ts'
import type { Store } from './store.ts'
import type { Teller } from './teller.ts'
import { isEnded, type TurnRecord } from './turn.ts'
import type { Visits } from './visits.ts'

interface TurnReaderDeps {
  readonly store: Store
  readonly now: Now
  /** Whether turns may run on other instances. */
  readonly shared: boolean
}

/** Finds turns by their ids, wherever they run, and stops them. */
export class TurnReader {
  readonly #deps: TurnReaderDeps
  readonly #visits: Visits
  readonly #elsewhere: Elsewhere
  readonly #teller: Teller
  readonly #shared = new SharedTurns()

  constructor(deps: TurnReaderDeps, visits: Visits, elsewhere: Elsewhere, teller: Teller) {
    this.#deps = deps
    this.#visits = visits
    this.#elsewhere = elsewhere
    this.#teller = teller
  }

  /** A turn of its owner, running or ended. @throws DaehwaError `not_found`, whosever it is otherwise */
  async find(owner: Owner, id: string): Promise<Followable> {
    const visit = this.#visits.of(owner, id)
    if (visit !== undefined) return visit.live
    const { store, shared } = this.#deps
    const { tenant, client } = owner
    if (client !== undefined && (await store.turn(tenant, id, client)) === undefined) throw notThere()
    return this.#shared.read(`${tenant}\0${id}`, async () => {
      const record = await store.turn(tenant, id)
      if (record === undefined) throw notThere()
      if (shared && !isEnded(record.status)) return this.#elsewhere.follow(tenant, record)
      return endedTurn(record, () => store.hasTurn(tenant, id))
    })
  }

  /** Stops a turn, waiting or running; one that has ended stays as it is. Resolves when it has ended. */
  async cancel(owner: Owner, id: string): Promise<TurnRecord> {
    const turn = await this.find(owner, id)
    const visit = this.#visits.of(owner, id)
    if (visit?.abort.signal.aborted === false) visit.abort.abort(DaehwaError.of('turn_cancelled'))
    else if (!isEnded(turn.record.status)) {
      await this.#deps.store.requestCancel(owner.tenant, id, this.#deps.now())
      this.#teller.tellToLook([id])
    }
    return turn.ended
  }
}

const notThere = (): DaehwaError => DaehwaError.of('not_found', { what: 'such turn' })
