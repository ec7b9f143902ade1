import type { IncompleteReason, Usage } from './conversation.ts'
import type { ErrorCode } from './errors.ts'

export type TurnStatus = 'queued' | 'in_progress' | 'completed' | 'incomplete' | 'failed' | 'cancelled'

/** What happens to a turn. `retry`: the same request comes again after a failure that may have passed. */
export type TurnChange = 'claim' | 'complete' | 'cut' | 'fail' | 'cancel' | 'retry'

/** The whole life of a turn: the status that each change leads to, or null where it cannot happen. */
export const transitions: Readonly<Record<TurnStatus, Readonly<Record<TurnChange, TurnStatus | null>>>> = {
  queued: {
    claim: 'in_progress',
    complete: null,
    cut: null,
    fail: 'failed',
    cancel: 'cancelled',
    retry: null,
  },
  in_progress: {
    claim: null,
    complete: 'completed',
    cut: 'incomplete',
    fail: 'failed',
    cancel: 'cancelled',
    retry: null,
  },
  completed: { claim: null, complete: null, cut: null, fail: null, cancel: null, retry: null },
  incomplete: { claim: null, complete: null, cut: null, fail: null, cancel: null, retry: null },
  failed: { claim: null, complete: null, cut: null, fail: null, cancel: null, retry: 'queued' },
  cancelled: { claim: null, complete: null, cut: null, fail: null, cancel: null, retry: null },
}

/** Whether nothing can happen to a turn any more by itself. */
export const isEnded = (status: TurnStatus): boolean => transitions[status].fail === null

/** Failures that the same request would meet again; after any other it may be tried again, as the same turn. */
const lasting: ReadonlySet<ErrorCode> = new Set([
  'context_length_exceeded',
  'model_not_found',
  'invalid_request',
])

export const mayRetry = (status: TurnStatus, code: ErrorCode | undefined): boolean =>
  transitions[status].retry !== null && (code === undefined || !lasting.has(code))

/** Why a turn failed or was cancelled: a code of the catalogue, and its sentence as it was then. */
interface TurnError {
  readonly code: ErrorCode
  readonly message: string
  /** Seconds after which another try makes sense; not kept. */
  readonly retryAfter?: number | undefined
}

/** A turn as it is kept. Times are Unix milliseconds. */
export interface TurnRecord {
  readonly id: string
  readonly status: TurnStatus
  /** The model that was asked. */
  readonly askedModel: string
  /** The one that answered, as the upstream names it; until then the one that was asked. */
  readonly model: string
  /** The answer; of a turn that failed or was cancelled what had come of it. */
  readonly text: string
  /** What the model thought aloud before it answered; empty where it does not show that. */
  readonly reasoning: string
  /** How long each piece of the answer was when it came, in UTF-16 units. */
  readonly pieces: readonly number[]
  readonly usage: Usage | undefined
  readonly incomplete: IncompleteReason | undefined
  readonly error: TurnError | undefined
  readonly createdAt: number
  readonly startedAt: number | undefined
  readonly endedAt: number | undefined
}
