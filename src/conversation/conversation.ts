/** The conversation of one client of one tenant, by names. Everything stored is found through it. */
export interface ConversationKey {
  readonly tenant: string
  readonly client: string
}

/** How many messages of a conversation may be pinned: they go along with every turn. */
export const mostPins = 100

/** Tokens that the upstream counted for one answer. */
export interface Usage {
  readonly input_tokens: number
  readonly output_tokens: number
  readonly total_tokens: number
}

/** The size of an item. Until it is `counted`, which takes time, `tokens` is a number that is no smaller. */
export interface Size {
  readonly tokens: number
  readonly counted: boolean
}

/**
 * A stored item as it goes upstream: `json` is one message of a chat completion request, already serialised,
 * so that a context is a join of fragments.
 */
export interface Fragment extends Size {
  readonly json: string
}

/** An item of a finished turn: the turn's place in the conversation, and the item's place in the turn. */
export interface PastItem extends Fragment {
  readonly seq: number
  readonly position: number
}

/** A run of turns that ends with the newest. */
export interface PastRun extends Size {
  /** Their messages, joined by commas as they go upstream, in UTF-8; empty: none. */
  readonly json: Uint8Array
  readonly items: () => readonly PastItem[]
}

/** The size of a finished turn: its place in the conversation, and the sizes of its items. */
export interface PastTurn {
  readonly seq: number
  readonly sizes: readonly Size[]
}

/** A size that was counted later than its item was kept. */
export type LateCount = Pick<PastItem, 'seq' | 'position' | 'tokens'>

/** A message with its ids, as a context shows it. */
export interface ItemView extends PastItem {
  readonly id: string
  readonly turnId: string
}

/** What stands for the turns `fromSeq <= seq < toSeq` in a context. */
export interface Compaction extends Fragment {
  readonly id: string
  readonly fromSeq: number
  readonly toSeq: number
  /** The model that wrote it. */
  readonly model: string
  /** Unix milliseconds. */
  readonly at: number
}

/** One message of a history. `at` is Unix milliseconds. */
export interface HistoryEntry {
  readonly id: string
  readonly turnId: string
  readonly role: 'user' | 'assistant'
  readonly content: string
  readonly at: number
  /** Set on an answer that was cut short. */
  readonly incomplete?: IncompleteReason
}

export type IncompleteReason = 'max_output_tokens' | 'content_filter' | 'max_output_bytes'

/** One message as the JSON fragment that is stored and sent. */
export function messageJson(role: 'user' | 'assistant' | 'system', content: string): string {
  return JSON.stringify({ role, content })
}
