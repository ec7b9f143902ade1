import type { IncompleteReason, Usage } from './conversation.ts'
import type { Span } from './observer.ts'
import type { Generation } from './settings.ts'

/** Messages of a chat completion request, serialised, oldest first: single ones, and bytes in which many are joined by commas. */
export type Messages = readonly (string | Uint8Array)[]

export interface ModelRequest {
  readonly model: string
  readonly messages: Messages
  readonly settings?: Generation | undefined
  /** What it is asked for. */
  readonly of?: Span | undefined
  /** Told that it is on its way, and that nothing came of it: it was refused, or nobody answered. */
  readonly underway?: ((is: boolean) => void) | undefined
}

/** A piece of an answer: of what the model says, or of what it thinks aloud before. */
export interface Piece {
  readonly type: 'delta' | 'reasoning'
  readonly text: string
}

/** Takes a piece at the moment it is here, and tells whether more is wanted. */
export type Hear = (piece: Piece) => boolean

/** How an answer ended. */
export interface Finish {
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
   * Asks, and hands on the answer as it comes; where no more of it is wanted it ends incomplete, by `max_output_bytes`. When
   * `signal` aborts, the connection is closed and the signal's reason is thrown. Also throws
   * `context_length_exceeded` and `model_not_found`.
   */
  answer(request: ModelRequest, hear: Hear, signal: AbortSignal): Promise<Finish>
  /** The list of models; undefined where the upstream has none. */
  models(): Promise<readonly ModelInfo[] | undefined>
}

/**
 * How instances tell each other what happens, sooner than the database would. Nothing depends on it: what is told may be
 * lost at any time, and the database knows it too.
 */
export interface Feed {
  /** Whether what is told now is likely to be heard. */
  readonly alive: boolean
  /** Tells all who listen on a channel. Never waits, and never throws. */
  tell(channel: string, message: string): void
  /** Listens, from some moment soon on, until what it answers is disposed of. */
  listen(channel: string, heard: (message: string) => void): Disposable
}

/** Counts a request of a key: how many there were in its minute, and how many milliseconds are left of that. */
export type CountRequest = (key: string) => Promise<{ readonly used: number; readonly resetMs: number }>

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
