import type { Compactor } from './context/compactor.ts'
import type { ConversationKey } from './conversation.ts'
import { codeOf } from './errors.ts'
import type { Log, Now } from './ports.ts'
import type { Cleared, Store } from './store.ts'

interface EraserDeps {
  readonly store: Pick<Store, 'clear' | 'forget' | 'scrub'>
  readonly compactor: Pick<Compactor, 'cancel'>
  readonly now: Now
  readonly log: Log
}

/** Erases histories and clients. */
export class Eraser {
  readonly #deps: EraserDeps
  readonly #stop: (turns: readonly string[]) => void

  /** `stop` ends turns whose history is gone. */
  constructor(deps: EraserDeps, stop: (turns: readonly string[]) => void) {
    this.#deps = deps
    this.#stop = stop
  }

  /** Erases a history, or a whole client. What is being answered for it is stopped and never enters it. */
  async clear(key: ConversationKey, what: 'history' | 'client' = 'history'): Promise<number> {
    const { store, now } = this.#deps
    const cleared = await (what === 'client' ? store.forget(key, now()) : store.clear(key, now()))
    this.#after(cleared)
    await this.scrub()
    return cleared.messages
  }

  /** Erases a client to which nothing has happened since `idleSince`; `scrub` is left to be done. False when it is not so. */
  async eraseIdle(key: ConversationKey, idleSince: number): Promise<boolean> {
    const cleared = await this.#deps.store.forget(key, this.#deps.now(), idleSince)
    this.#after(cleared)
    return cleared.conversation !== undefined
  }

  /** Overwrites what was erased; where that cannot be, it is said and nothing else fails. */
  async scrub(): Promise<void> {
    await this.#deps.store.scrub().catch((error: unknown) => {
      this.#deps.log.warn(
        { code: codeOf(error) },
        'a history is cleared, but its words are in the log of the database until it is emptied',
      )
    })
  }

  #after({ turns, conversation }: Cleared): void {
    if (conversation !== undefined) this.#deps.compactor.cancel(conversation)
    this.#stop(turns)
  }
}
