import type { Charge } from '../../conversation/charge.ts'
import type { ConversationKey, Fragment, IncompleteReason, Usage } from '../../conversation/conversation.ts'
import type { Settings } from '../../conversation/settings.ts'

/** A turn that was accepted and claimed in the same moment. `fence` and `places` are those of its conversation from then on. */
export interface Accepted {
  readonly kind: 'accepted'
  readonly id: string
  readonly key: ConversationKey
  readonly conversation: string
  readonly epoch: number
  readonly fence: number
  readonly places: number
  readonly owner: string
  readonly model: string
  readonly settings: Settings
  readonly input: Fragment
  readonly apiKey: string | undefined
  readonly reserved: number
  /** Unix milliseconds, as all times. */
  readonly at: number
  readonly deadline: number
}

/** The same turn, when its answer entered the history. */
export interface Answered {
  readonly kind: 'answered'
  readonly id: string
  readonly conversation: string
  readonly seq: number
  readonly status: 'completed' | 'incomplete'
  readonly model: string
  readonly pieces: readonly number[]
  readonly incomplete: IncompleteReason | undefined
  readonly usage: Usage | undefined
  /** The id of the message that was answered. */
  readonly question: string
  readonly answer: Fragment
  readonly reasoning: string
  readonly servedBy: string | undefined
  readonly charge: Omit<Charge, 'key'> | undefined
  readonly at: number
}

/**
 * What the journal keeps, as JSON. A server that was killed finds what the one before it wrote, be it of another version: fields are
 * added, and what they mean is not changed.
 */
export type JournalRecord = Accepted | Answered

/** A turn that has both, and is in no table yet. */
export interface JournaledTurn {
  readonly accepted: Accepted
  readonly answered: Answered
}

/** What a turn was charged. */
export const tokensOf = ({ charge }: Answered): number =>
  charge === undefined ? 0 : charge.input + charge.output
