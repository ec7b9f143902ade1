import type {
  ConversationKey,
  Fragment,
  HistoryEntry,
  IncompleteReason,
  LateCount,
  PastItem,
  PastTurn,
  Usage,
} from './conversation.ts'
import type { Generation } from './settings.ts'
import type { TurnRecord } from './turn.ts'

/** A turn as it is accepted: the input and the client's settings as they are now. */
export interface NewTurn {
  readonly id: string
  readonly key: ConversationKey
  readonly input: Fragment
  readonly model: string
  readonly instructions: string | undefined
  readonly idempotency: Idempotency | undefined
  /** Unix milliseconds. */
  readonly at: number
}

/** What makes a repeated request the same one: the caller's key, and a digest of all that was asked. */
export interface Idempotency {
  readonly key: string
  readonly fingerprint: string
}

/** `existing`: the request was accepted before, as `turnId`. Otherwise it is kept now, and claimed if so asked. */
export type Accepted =
  | { readonly existing: true; readonly turnId: string }
  | { readonly existing: false; readonly turnId: string; readonly claim: Claim | undefined }

/**
 * The right to answer one turn. `fence` and `epoch` are those of the conversation when the right was given:
 * whoever commits with older ones owns nothing any more.
 */
export interface Claim {
  readonly turnId: string
  readonly tenant: string
  readonly conversation: string
  readonly epoch: number
  readonly fence: number
  /** The past turns of the conversation have `firstSeq <= seq < nextSeq`. */
  readonly firstSeq: number
  readonly nextSeq: number
}

/**
 * The database. Every method is one transaction: when its promise resolves the change is durable, when it
 * rejects nothing of it is there. It throws `storage_unavailable` and `storage_full`.
 */
export interface Store {
  /** The model that was set for a client; undefined when none was, or when nobody knows the client. */
  model(key: ConversationKey): Promise<string | undefined>
  setModel(key: ConversationKey, model: string, at: number): Promise<void>
  /**
   * Keeps a turn before anything goes upstream: as `queued`, or, with a deadline, claimed in the same moment for a
   * turn that waits for nobody. A key of the last 24 hours stands for the turn that it made; when that failed and
   * may be tried again, it is kept anew under its old id. Throws `idempotency_key_reused`.
   */
  accept(turn: NewTurn, deadline: number | undefined): Promise<Accepted>
  /** The turn that a key of the last 24 hours stands for, and that would be joined. Throws `idempotency_key_reused`. */
  known(tenant: string, idempotency: Idempotency, at: number): Promise<string | undefined>
  /** `queued` → `in_progress`, dispatched; undefined when the turn is no longer there to be run. */
  claim(tenant: string, turnId: string, at: number, deadline: number): Promise<Claim | undefined>
  /** Whether a turn is still there, and its history was not cleared since. */
  hasTurn(tenant: string, turnId: string): Promise<boolean>
  /** `queued` → failed or cancelled; does nothing when the turn is no longer queued. */
  endQueued(tenant: string, turn: TurnRecord): Promise<void>
  /** A turn of this tenant; undefined when there is none, or its history was cleared. */
  turn(tenant: string, turnId: string): Promise<TurnRecord | undefined>
  /** How large the `count` turns before `beforeSeq` are, newest first. */
  turnsBefore(claim: Claim, beforeSeq: number, count: number): Promise<PastTurn[]>
  /** The items of the turns from `fromSeq` on and before `toSeq` (all when undefined), oldest first. */
  itemsFrom(claim: Claim, fromSeq: number, toSeq?: number): Promise<PastItem[]>
  /** Keeps sizes that were not known when their items were kept. */
  keepCounts(claim: Claim, counts: readonly LateCount[]): Promise<void>
  /** Puts both messages into the history; false, and nothing is kept, when the claim is not the newest. */
  commit(claim: Claim, turn: TurnRecord, answer: Fragment): Promise<boolean>
  /** Ends a turn without its messages entering the history. Does nothing when a newer claim is on the same turn. */
  end(claim: Claim, turn: TurnRecord): Promise<void>
  /**
   * The messages of whole turns, oldest first, in pages that fit into memory: the newest `turns` of them (all
   * when undefined), of those before the turn `before`. Empty for an unknown client, and before an unknown turn.
   */
  history(key: ConversationKey, turns?: number, before?: string): AsyncIterable<readonly HistoryEntry[]>
  /** Erases the history and ends what was accepted before. */
  clear(key: ConversationKey, at: number): Promise<Cleared>
  /** Overwrites what was erased wherever it still is besides the tables. */
  scrub(): Promise<void>
  /** After a start: dispatched turns become `failed/server_restarted`. Answers the queued ones, oldest first. */
  recover(at: number): Promise<QueuedTurn[]>
  /** Resolves when the database answers. */
  ping(): Promise<void>
}

/** What a clearing did: the messages it erased, and the ids of the turns it ended. */
export interface Cleared {
  readonly messages: number
  readonly turns: readonly string[]
}

export interface QueuedTurn {
  readonly id: string
  readonly key: ConversationKey
  readonly input: Fragment
  readonly model: string
  readonly instructions: string | undefined
  readonly at: number
}

export interface ModelRequest {
  readonly model: string
  /** Messages of a chat completion request, serialised, oldest first. */
  readonly messages: readonly string[]
  readonly settings?: Generation | undefined
}

export type ModelEvent =
  | { readonly type: 'delta'; readonly text: string }
  | { readonly type: 'reasoning'; readonly text: string }
  | {
      readonly type: 'finish'
      readonly incomplete: IncompleteReason | undefined
      readonly usage: Usage | undefined
      readonly model: string | undefined
    }

/** US dollars for a million tokens. */
export interface Prices {
  readonly input: number
  readonly cached_input?: number
  readonly output: number
}

/** A model of an upstream, as `GET /models` lists it. The last three are there where they are configured. */
export interface ModelInfo {
  readonly id: string
  readonly object: string
  readonly created: number
  readonly owned_by: string
  readonly permission: readonly Record<string, unknown>[]
  readonly root: string
  readonly parent?: string
  readonly context_window?: number
  readonly max_output_tokens?: number
  readonly prices?: Prices
}

/** An OpenAI-compatible API. Both methods throw the `upstream_…` codes. */
export interface Upstream {
  /**
   * Asks, and yields the answer as it comes; the last event is `finish`. When `signal` aborts, the
   * connection is closed and the signal's reason is thrown. Also throws `context_length_exceeded`
   * and `model_not_found`.
   */
  answer(request: ModelRequest, signal: AbortSignal): AsyncGenerator<ModelEvent, void, undefined>
  /** The list of models; undefined where the upstream has none. */
  models(): Promise<readonly ModelInfo[] | undefined>
}

/** Counts the tokens of a text. */
export type CountTokens = (text: string) => Promise<number>

/** Unix milliseconds: for what is kept and shown. */
export type Now = () => number

/** Milliseconds that only ever grow, whatever becomes of the wall clock: for durations. */
export type Monotonic = () => number

/** Where the domain tells what an operator should know. Neither keys nor what people said go in. */
export interface Log {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}
