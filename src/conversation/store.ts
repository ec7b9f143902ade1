import type { KeyStore } from './access/key-store.ts'
import type { KeyLimits } from './access/limits.ts'
import type { ArchiveStore } from './archive.ts'
import type { Charge } from './charge.ts'
import type { ConversationState } from './client.ts'
import type { ClientStore } from './client-store.ts'
import type {
  Compaction,
  ConversationKey,
  Fragment,
  HistoryEntry,
  ItemView,
  LateCount,
  PastItem,
  PastRun,
  PastTurn,
} from './conversation.ts'
import type { ErrorCode } from './errors.ts'
import type { InstanceStore } from './instance-store.ts'
import type { RetentionStore } from './retention.ts'
import type { Settings } from './settings.ts'
import type { TurnRecord } from './turn.ts'
import type { UsageStore } from './usage.ts'

/** A turn as it is accepted: the input and the settings as they are now. */
export interface NewTurn {
  readonly id: string
  /** The instance that runs it. */
  readonly owner: string
  readonly key: ConversationKey
  readonly input: Fragment
  readonly model: string
  readonly settings: Settings
  /** The conversation of the client whose settings these are; undefined where there was none. */
  readonly conversation?: string | undefined
  readonly idempotency: Idempotency | undefined
  /** The id of the key that it came with, which is charged for it; undefined for the operator's. */
  readonly apiKey?: string | undefined
  readonly limits?: KeyLimits | undefined
  /** Unix milliseconds. */
  readonly at: number
}

/** A turn that was accepted and not yet claimed when its instance ended. */
export type QueuedTurn = Omit<NewTurn, 'idempotency' | 'conversation' | 'limits'>

/** A turn that waits, and whose it is. */
export type OwnTurn = Pick<QueuedTurn, 'id' | 'key' | 'owner'>

/** How a turn takes its place among those that wait: behind them, and only if they are fewer than so many, or before them. */
export interface Line {
  readonly maxWaiting?: number
  /** Also asks whoever runs the conversation's turn now to stop it. */
  readonly interrupt?: boolean
}

/** What makes a repeated request the same one: the caller's key, and a digest of all that was asked. */
export interface Idempotency {
  readonly key: string
  readonly fingerprint: string
}

/** `existing`: the request was accepted before, as `turnId`. Otherwise it is kept now, and claimed if nothing is before it. */
export type Accepted =
  | { readonly existing: true; readonly turnId: string }
  | {
      readonly existing: false
      readonly turnId: string
      /** Sorts as the turns of one conversation are to run. */
      readonly place: string
      readonly claim: Claim | undefined
      /** The turn that is asked to stop. */
      readonly running?: string | undefined
    }

/**
 * The right to answer one turn. `fence` and `epoch` are those of the conversation when the right was given:
 * whoever commits with older ones owns nothing any more.
 */
export interface Claim extends ConversationState {
  readonly turnId: string
  readonly fence: number
}

/** What a finished turn brings into the history. */
export interface NewItems {
  readonly answer: Fragment
  /** Which model of which fallback chain answered; undefined where there was no choice. */
  readonly servedBy: string | undefined
}

/** What a clearing did: the messages it erased, and the ids of the turns it ended. */
export interface Cleared {
  readonly messages: number
  readonly turns: readonly string[]
  /** The id of the conversation; undefined where there was none. */
  readonly conversation: string | undefined
}

/** The database as it was at one moment, with all that was committed by then. It is gone when it is disposed of. */
export interface DatabaseCopy extends AsyncDisposable {
  /** In bytes. */
  readonly size: number
  readonly bytes: AsyncIterable<Uint8Array>
}

/**
 * The database. Every method is one transaction: when its promise resolves the change is durable, when it
 * rejects nothing of it is there. It throws `storage_unavailable` and `storage_full`.
 */
export interface Store
  extends TurnStore,
    InstanceStore,
    PastStore,
    ClientStore,
    KeyStore,
    UsageStore,
    ArchiveStore,
    RetentionStore {
  /** Overwrites what was erased wherever it still is besides the tables. */
  scrub(): Promise<void>
  /** Copies the whole database while it is written to; undefined where it has tools of its own for that. */
  backup(): Promise<DatabaseCopy | undefined>
  /** Resolves when the database answers. */
  ping(): Promise<void>
}

interface TurnStore {
  /**
   * Keeps a turn before anything goes upstream: as `queued`, or, with a deadline, claimed in the same moment if no turn
   * of its conversation waits, and none runs but its owner's. A key of the last 24 hours stands for the turn that it
   * made; when that failed and may be tried again, it is kept anew under its old id. What it may use of its key's limits is
   * reserved until it ends. Throws `idempotency_key_reused`, `conversation_busy`, `rate_limited`, `quota_exceeded`, and
   * `history_deleted` when the client whose settings it has is forgotten.
   */
  accept(turn: NewTurn, deadline: number | undefined, line?: Line): Promise<Accepted>
  /** The turn that a key of the last 24 hours stands for, and that would be joined. Throws `idempotency_key_reused`. */
  known(tenant: string, idempotency: Idempotency, at: number): Promise<string | undefined>
  /**
   * `queued` → `in_progress`, dispatched. `wait`: another turn comes first, or another instance's is running. `gone`: it
   * is no longer there to be run by its owner.
   */
  claim(turn: OwnTurn, at: number, deadline: number): Promise<Claim | 'wait' | 'gone'>
  /** Whether a turn is still there, and its history was not cleared since. */
  hasTurn(tenant: string, turnId: string): Promise<boolean>
  /** `queued` → failed or cancelled; false, and nothing is done, when it is not queued any more for its owner. */
  endQueued(turn: OwnTurn, record: TurnRecord): Promise<boolean>
  /** Ends a turn that is queued for whatever instance, and asks for the end of one that runs. */
  requestCancel(tenant: string, turnId: string, at: number): Promise<void>
  /** A turn of this tenant, or of this client of it; undefined when there is none, or its history was cleared. */
  turn(tenant: string, turnId: string, client?: string): Promise<TurnRecord | undefined>
  /** Puts both messages into the history, and charges the turn; false, and nothing is kept, when the claim is not the newest. */
  commit(claim: Claim, turn: TurnRecord, items: NewItems, charge?: Charge): Promise<boolean>
  /**
   * Ends a turn without its messages entering the history; not when a newer claim is on the same turn. It is charged in any
   * case, once.
   */
  end(claim: Claim, turn: TurnRecord, charge?: Charge): Promise<void>
}

export interface PastStore {
  /** How large the `count` turns before `beforeSeq` are, newest first. */
  turnsBefore(state: ConversationState, beforeSeq: number, count: number): Promise<readonly PastTurn[]>
  /** The tokens, as far as they are known, of the turns `from <= seq < to`. */
  tokensBetween(state: ConversationState, from: number, to: number): Promise<number>
  /** The messages of the turns from `fromSeq` on and before `toSeq` (all when undefined), oldest first. */
  itemsFrom(state: ConversationState, fromSeq: number, toSeq?: number): Promise<readonly PastItem[]>
  /** The same up to the newest turn, as one text. */
  run(state: ConversationState, fromSeq: number): Promise<PastRun>
  /** The same, with their ids. */
  views(state: ConversationState, fromSeq: number, toSeq: number): Promise<ItemView[]>
  /** Keeps sizes that were not known when their items were kept. */
  keepCounts(state: ConversationState, counts: readonly LateCount[]): Promise<void>
  /** What is pinned, oldest first. */
  pinned(state: ConversationState): Promise<ItemView[]>
  /** Pins a message, or unpins it; false when there is no such message. */
  pin(key: ConversationKey, itemId: string, pinned: boolean): Promise<boolean>
  compaction(state: ConversationState): Promise<Compaction | undefined>
  /**
   * The right to compact, held until `until` (Unix milliseconds) at the longest; undefined while another has it. It is
   * lost when the history is cleared.
   */
  beginCompaction(state: ConversationState, at: number, until: number): Promise<ConversationState | undefined>
  /** Puts a compaction in the place of the one before it; false, and nothing is kept, when the right to it is lost. */
  keepCompaction(state: ConversationState, until: number, compaction: Compaction): Promise<boolean>
  /** Gives the right back; with the reason when there is no compaction for it. */
  endCompaction(state: ConversationState, until: number, error: ErrorCode | undefined): Promise<void>
  /**
   * The messages of whole turns, oldest first, in pages that fit into memory: the newest `turns` of them (all
   * when undefined), of those before the turn `before`. Empty for an unknown client, and before an unknown turn.
   */
  history(key: ConversationKey, turns?: number, before?: string): AsyncIterable<readonly HistoryEntry[]>
  /** Erases the history and ends what was accepted before. */
  clear(key: ConversationKey, at: number): Promise<Cleared>
  /** The same, and forgets the client with its settings; with `idleSince` only if it was last active then. */
  forget(key: ConversationKey, at: number, idleSince?: number): Promise<Cleared>
}
