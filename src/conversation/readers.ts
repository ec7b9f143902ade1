import type { TurnEvent } from './turn-event.ts'

/** The readers of a list that grows, each at its own place. They are woken by whoever makes it grow. */
export class Readers {
  /** Called when there is more to read. */
  readonly #waiting = new Set<() => void>()

  wake(): void {
    for (const more of this.#waiting) more()
  }

  /** What stands in the list after the number `after`, and on until it is over. Ends early when `signal` aborts. */
  async *read(
    list: readonly TurnEvent[],
    after: number,
    isOver: () => boolean,
    signal: AbortSignal,
  ): AsyncGenerator<readonly TurnEvent[], void, undefined> {
    let wake: (() => void) | undefined
    const onMore = () => {
      wake?.()
      wake = undefined // what more comes before the reader is back is read with it
    }
    this.#waiting.add(onMore)
    signal.addEventListener('abort', onMore)
    try {
      for (let next = Math.max(0, after + 1); !signal.aborted; ) {
        const fresh = list.slice(next)
        next += fresh.length
        if (fresh.length > 0) yield fresh
        else if (isOver()) return
        else await new Promise<void>((resolve) => (wake = resolve))
      }
    } finally {
      this.#waiting.delete(onMore)
      signal.removeEventListener('abort', onMore)
    }
  }
}
