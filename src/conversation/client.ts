import type { ErrorCode } from './errors.ts'
import type { Settings } from './settings.ts'

/** What a context is chosen from: a conversation as it was when a turn was claimed, or as it is now. */
export interface ConversationState {
  readonly tenant: string
  readonly conversation: string
  readonly epoch: number
  /** The past turns of the conversation have `firstSeq <= seq < nextSeq`; those before `compactedTo` have a summary. */
  readonly firstSeq: number
  readonly nextSeq: number
  readonly compactedTo: number
  /** Grows with every change of what is pinned; 0 while nothing ever was. */
  readonly pins: number
  /** Which model of which fallback chain answered last. */
  readonly servedBy: string | undefined
}

/** A client: its own settings, and what became of its conversation. Times are Unix milliseconds. */
export interface Client {
  readonly name: string
  readonly state: ConversationState
  readonly settings: Settings
  /** Tokens that the upstream counted for what is in the history. */
  readonly inputTokens: number
  readonly outputTokens: number
  readonly createdAt: number
  readonly activeAt: number
  /** Why the last attempt to summarise older turns failed. */
  readonly compactionError: ErrorCode | undefined
}

/** A page of clients, and where the next one begins. */
export interface ClientPage {
  readonly clients: readonly Client[]
  readonly next: string | undefined
}
