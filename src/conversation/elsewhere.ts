import { DaehwaError, type ErrorCode } from './errors.ts'
import { endedTurn, type Followable } from './follow-turn.ts'
import type { Now } from './ports.ts'
import type { Store } from './store.ts'
import { isEnded, type TurnRecord } from './turn.ts'
import { eventsOf } from './turn-event.ts'

/** How often the database is asked whether a turn has ended. Milliseconds. */
const lookAgain = 250

/** Turns that run on other instances, for their readers here: what has begun is told at once, the rest when they have ended. */
export class Elsewhere {
  readonly #store: Store
  readonly #now: Now
  readonly #ends = new Map<string, Promise<TurnRecord>>()
  readonly #stopped = Promise.withResolvers<void>()
  #stopping = false

  constructor({ store, now }: { store: Store; now: Now }) {
    this.#store = store
    this.#now = now
  }

  /** Resolves with what the database says of a turn when it has ended; all who wait for one turn ask once. */
  ended(tenant: string, turn: TurnRecord): Promise<TurnRecord> {
    const key = `${tenant}\0${turn.id}`
    const known = this.#ends.get(key)
    if (known !== undefined) return known
    const end = this.#untilEnded(tenant, turn).finally(() => this.#ends.delete(key))
    this.#ends.set(key, end)
    return end
  }

  follow(tenant: string, record: TurnRecord): Followable {
    const ended = () => this.ended(tenant, record)
    return {
      record,
      get ended() {
        return ended()
      },
      async *follow(after, signal) {
        const begun = eventsOf(record).slice(after + 1)
        if (begun.length > 0) yield begun
        const gone = new Promise<undefined>((resolve) =>
          signal.addEventListener('abort', () => resolve(undefined), { once: true }),
        )
        const end = signal.aborted ? undefined : await Promise.race([ended(), gone])
        if (end !== undefined) yield* endedTurn(end, async () => true).follow(after + begun.length, signal)
      },
      erased: async () => !(await this.#store.hasTurn(tenant, record.id)),
      behind: () => 0,
    }
  }

  /** Whoever waits is told that the server is shutting down. */
  stop(): void {
    this.#stopping = true
    this.#stopped.resolve()
  }

  async #untilEnded(tenant: string, turn: TurnRecord): Promise<TurnRecord> {
    for (;;) {
      // While the storage fails nothing is known: it is asked again.
      const kept = await this.#store.turn(tenant, turn.id).catch(() => turn)
      if (kept === undefined) return this.#endedBy(turn, 'history_deleted')
      if (isEnded(kept.status)) return kept
      if (this.#stopping) return this.#endedBy(turn, 'server_shutting_down')
      let timer: NodeJS.Timeout | undefined
      const pause = new Promise<void>((resolve) => (timer = setTimeout(resolve, lookAgain)))
      await Promise.race([pause, this.#stopped.promise])
      clearTimeout(timer)
    }
  }

  #endedBy(turn: TurnRecord, code: 'history_deleted' | 'server_shutting_down'): TurnRecord {
    const { message } = DaehwaError.of(code)
    const status = code === 'history_deleted' ? 'cancelled' : 'failed'
    return { ...turn, status, error: { code: code satisfies ErrorCode, message }, endedAt: this.#now() }
  }
}
