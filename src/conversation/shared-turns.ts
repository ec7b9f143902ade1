import type { Followable } from './follow-turn.ts'
import { isEnded, mayRetry } from './turn.ts'

/** Turns that are over for good and are being read: their readers share one copy of what may be many megabytes. */
export class SharedTurns {
  readonly #turns = new Map<string, WeakRef<Followable>>()
  readonly #gone = new FinalizationRegistry<string>((key) => {
    if (this.#turns.get(key)?.deref() === undefined) this.#turns.delete(key)
  })

  /** The turn as another reader has it, or else as it is read now. `key` must tell tenants apart. */
  async read(key: string, read: () => Promise<Followable>): Promise<Followable> {
    const known = this.#turns.get(key)?.deref()
    if (known !== undefined && !(await known.erased())) return known
    const turn = await read()
    const { status } = turn.record
    if (!isEnded(status) || mayRetry(status, undefined)) return turn // it may not stay as it is
    const meanwhile = this.#turns.get(key)?.deref()
    if (meanwhile !== undefined && meanwhile !== known) return meanwhile
    this.#turns.set(key, new WeakRef(turn))
    this.#gone.register(turn, key)
    return turn
  }
}
