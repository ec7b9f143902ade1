import type { HistoryEntry } from '../../src/conversation/conversation.ts'
import type { Store } from '../../src/conversation/store.ts'

/** A history in one piece. */
export async function historyOf(
  store: Store,
  ...args: Parameters<Store['history']>
): Promise<HistoryEntry[]> {
  return (await Array.fromAsync(store.history(...args))).flat()
}
