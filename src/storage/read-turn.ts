import type { Owner } from '../conversation/access/caller.ts'
import type { IncompleteReason } from '../conversation/conversation.ts'
import type { ErrorCode } from '../conversation/errors.ts'
import type { TurnRecord, TurnStatus } from '../conversation/turn.ts'
import { first, type Work } from './database.ts'

export function* readTurn({ tenant, client }: Owner, id: string): Work<TurnRecord | undefined> {
  const ofClient = `AND EXISTS (SELECT 1 FROM conversations c
    WHERE c.tenant = t.tenant AND c.id = t.conversation AND c.client_name = ?)`
  const row = yield* first<TurnRow>(
    `SELECT t.id, t.status, t.model, t.served_model, t.reasoning, t.output, t.pieces, t.usage_input, t.usage_output,
       t.usage_total, t.incomplete, t.error_code, t.error_message, t.created_at, t.dispatched_at, t.ended_at,
       i.body AS answer, r.body AS thought
     FROM turns t
     LEFT JOIN items i ON i.tenant = t.tenant AND i.conversation = t.conversation AND i.seq = t.seq AND i.position = 1
     LEFT JOIN items r ON r.tenant = t.tenant AND r.conversation = t.conversation AND r.seq = t.seq AND r.position = 2
     WHERE t.tenant = ? AND t.id = ? ${client === undefined ? '' : ofClient}`,
    ...[tenant, id, ...(client === undefined ? [] : [client])],
  )
  return row && toRecord(row)
}

export function* hasTurn(tenant: string, id: string): Work<boolean> {
  const row = yield* first<{ id: string }>(
    "SELECT id FROM turns WHERE tenant = ? AND id = ? AND coalesce(error_code, '') <> 'history_deleted'",
    ...[tenant, id],
  )
  return row !== undefined
}

interface TurnRow {
  readonly id: string
  readonly status: TurnStatus
  readonly model: string
  readonly served_model: string | null
  readonly answer: string | null
  readonly thought: string | null
  readonly reasoning: string | null
  readonly output: string | null
  readonly pieces: string | null
  readonly usage_input: number | null
  readonly usage_output: number | null
  readonly usage_total: number | null
  readonly incomplete: IncompleteReason | null
  readonly error_code: ErrorCode | null
  readonly error_message: string | null
  readonly created_at: number
  readonly dispatched_at: number | null
  readonly ended_at: number | null
}

function toRecord(row: TurnRow): TurnRecord {
  const { usage_input: input, usage_output: output, usage_total: total } = row
  return {
    id: row.id,
    status: row.status,
    askedModel: row.model,
    model: row.served_model ?? row.model,
    text: row.answer === null ? (row.output ?? '') : (JSON.parse(row.answer) as { content: string }).content,
    reasoning:
      row.thought === null ? (row.reasoning ?? '') : (JSON.parse(row.thought) as { text: string }).text,
    pieces: row.pieces ? row.pieces.split(',').map(Number) : [],
    usage:
      input === null || output === null || total === null
        ? undefined
        : { input_tokens: input, output_tokens: output, total_tokens: total },
    incomplete: row.incomplete ?? undefined,
    error:
      row.error_code === null
        ? undefined
        : { code: row.error_code, message: row.error_message ?? row.error_code },
    createdAt: row.created_at,
    startedAt: row.dispatched_at ?? undefined,
    endedAt: row.ended_at ?? undefined,
  }
}
