import type { ConversationState } from '../conversation/client.ts'
import type { Compaction } from '../conversation/conversation.ts'
import type { ErrorCode } from '../conversation/errors.ts'
import { type StateRow, stateColumns, toState } from './conversation-row.ts'
import { first, run, type Work } from './database.ts'

export function* compaction({ tenant, conversation }: ConversationState): Work<Compaction | undefined> {
  const row = yield* first<CompactionRow>(
    `SELECT id, from_seq, to_seq, model, tokens, counted, created_at, body FROM compactions
     WHERE tenant = ? AND conversation = ?`,
    ...[tenant, conversation],
  )
  return row && toCompaction(row)
}

export function* beginCompaction(
  { tenant, conversation, epoch }: ConversationState,
  at: number,
  until: number,
): Work<ConversationState | undefined> {
  const row = yield* first<StateRow>(
    `UPDATE conversations SET compacting_until = ?
     WHERE tenant = ? AND id = ? AND epoch = ? AND (compacting_until IS NULL OR compacting_until <= ?)
     RETURNING ${stateColumns}`,
    ...[until, tenant, conversation, epoch, at],
  )
  return row && toState(tenant, row)
}

export function* keepCompaction(
  { tenant, conversation, epoch }: ConversationState,
  until: number,
  made: Compaction,
): Work<boolean> {
  const held = yield* first<{ id: string }>(
    `UPDATE conversations SET compacted_to = ?, compaction_error = NULL
     WHERE tenant = ? AND id = ? AND epoch = ? AND compacting_until = ? RETURNING id`,
    ...[made.toSeq, tenant, conversation, epoch, until],
  )
  if (held === undefined) return false
  yield* run('DELETE FROM compactions WHERE tenant = ? AND conversation = ?', tenant, conversation)
  yield* insertCompaction(tenant, conversation, made)
  return true
}

export function* insertCompaction(tenant: string, conversation: string, made: Compaction): Work<void> {
  yield* run(
    `INSERT INTO compactions (tenant, conversation, id, from_seq, to_seq, model, tokens, counted, created_at, body)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ...[tenant, conversation, made.id, made.fromSeq, made.toSeq, made.model, made.tokens],
    ...[made.counted ? 1 : 0, made.at, made.json],
  )
}

export function* endCompaction(
  { tenant, conversation, epoch }: ConversationState,
  until: number,
  error: ErrorCode | undefined,
): Work<void> {
  yield* run(
    `UPDATE conversations SET compacting_until = NULL, compaction_error = ?
     WHERE tenant = ? AND id = ? AND epoch = ? AND compacting_until = ?`,
    ...[error ?? null, tenant, conversation, epoch, until],
  )
}

interface CompactionRow {
  readonly id: string
  readonly from_seq: number
  readonly to_seq: number
  readonly model: string
  readonly tokens: number
  readonly counted: number
  readonly created_at: number
  readonly body: string
}

const toCompaction = (row: CompactionRow): Compaction => ({
  id: row.id,
  fromSeq: row.from_seq,
  toSeq: row.to_seq,
  model: row.model,
  tokens: row.tokens,
  counted: row.counted === 1,
  at: row.created_at,
  json: row.body,
})
