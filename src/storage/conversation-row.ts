import type { ConversationState } from '../conversation/client.ts'

/** The columns of `conversations` that a state is read from. */
export const stateColumns = 'id, epoch, first_seq, next_seq, compacted_to, pins, served_by'

/** The later of the time that is kept and of `at`: requests are not written in the order in which they came. */
export const lastActive = (at: string): string =>
  `CASE WHEN ${at} > conversations.updated_at THEN ${at} ELSE conversations.updated_at END`

/** A column and a value together, no more than can be read again. */
export const safeSum = (column: string): string =>
  `CASE WHEN ${column} > ${most} - ? THEN ${most} ELSE ${column} + ? END`

const most = Number.MAX_SAFE_INTEGER

export interface StateRow {
  readonly id: string
  readonly epoch: number
  readonly first_seq: number
  readonly next_seq: number
  readonly compacted_to: number
  readonly pins: number
  readonly served_by: string | null
}

export const toState = (tenant: string, row: StateRow): ConversationState => ({
  tenant,
  conversation: row.id,
  epoch: row.epoch,
  firstSeq: row.first_seq,
  nextSeq: row.next_seq,
  compactedTo: row.compacted_to,
  pins: row.pins,
  servedBy: row.served_by ?? undefined,
})
