import type {
  ConversationKey,
  HistoryEntry,
  IncompleteReason,
  PastTurn,
} from '../conversation/conversation.ts'
import { newId } from '../conversation/ids.ts'
import type { Claim } from '../conversation/ports.ts'
import { all, first, type Work } from './database.ts'

export function* model({ tenant, client }: ConversationKey): Work<string | undefined> {
  const row = yield* first<{ model: string | null }>(
    'SELECT model FROM conversations WHERE tenant = ? AND client_name = ?',
    ...[tenant, client],
  )
  return row?.model ?? undefined
}

export function* setModel({ tenant, client }: ConversationKey, name: string, at: number): Work<void> {
  yield* all(
    `INSERT INTO conversations (tenant, id, client_name, model, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?)
     ON CONFLICT (tenant, client_name) DO UPDATE SET model = excluded.model, updated_at = excluded.updated_at`,
    ...[tenant, newId('conv', at), client, name, at, at],
  )
}

export function* turnsBefore(claim: Claim, beforeSeq: number, count: number): Work<PastTurn[]> {
  const rows = yield* all<{ seq: number; body: string; tokens: number }>(
    `SELECT seq, body, tokens FROM items
     WHERE tenant = ? AND conversation = ? AND seq >= ? AND seq < ? ORDER BY seq DESC, position`,
    ...[claim.tenant, claim.conversation, Math.max(claim.firstSeq, beforeSeq - count), beforeSeq],
  )
  const turns: { seq: number; items: { json: string; tokens: number }[] }[] = []
  for (const { seq, body, tokens } of rows) {
    const item = { json: body, tokens }
    const last = turns.at(-1)
    if (last?.seq === seq) last.items.push(item)
    else turns.push({ seq, items: [item] })
  }
  return turns
}

export function* history(
  { tenant, client }: ConversationKey,
  turns?: number,
  before?: string,
): Work<HistoryEntry[]> {
  const range = yield* first<{ id: string; first_seq: number; next_seq: number }>(
    'SELECT id, first_seq, next_seq FROM conversations WHERE tenant = ? AND client_name = ?',
    ...[tenant, client],
  )
  if (range === undefined) return []
  const end = before === undefined ? range.next_seq : yield* seqOf(tenant, range.id, before)
  if (end === undefined) return []
  const begin = turns === undefined ? range.first_seq : Math.max(range.first_seq, end - turns)
  const rows = yield* all<HistoryRow>(
    `SELECT turn_id, role, body, incomplete, created_at FROM items
     WHERE tenant = ? AND conversation = ? AND seq >= ? AND seq < ? AND type = 'message' ORDER BY seq, position`,
    ...[tenant, range.id, begin, end],
  )
  return rows.map((row) => ({
    turnId: row.turn_id,
    role: row.role,
    content: (JSON.parse(row.body) as { content: string }).content,
    at: row.created_at,
    ...(row.incomplete === null ? {} : { incomplete: row.incomplete }),
  }))
}

export function* clear({ tenant, client }: ConversationKey, at: number): Work<number> {
  const conversation = yield* first<{ id: string }>(
    `UPDATE conversations SET epoch = epoch + 1, first_seq = next_seq, active_turn = NULL, updated_at = ?
     WHERE tenant = ? AND client_name = ? RETURNING id`,
    ...[at, tenant, client],
  )
  if (conversation === undefined) return 0
  const { id } = conversation
  yield* all(
    `UPDATE turns SET status = 'cancelled', error_code = 'history_deleted', ended_at = ?, input = NULL,
       instructions = NULL
     WHERE tenant = ? AND conversation = ? AND status IN ('queued', 'in_progress')`,
    ...[at, tenant, id],
  )
  const counted = yield* first<{ count: number }>(
    "SELECT count(*) AS count FROM items WHERE tenant = ? AND conversation = ? AND type = 'message'",
    ...[tenant, id],
  )
  yield* all(
    'DELETE FROM turns WHERE tenant = ? AND id IN (SELECT turn_id FROM items WHERE tenant = ? AND conversation = ?)',
    ...[tenant, tenant, id],
  )
  yield* all('DELETE FROM items WHERE tenant = ? AND conversation = ?', tenant, id)
  return counted?.count ?? 0
}

interface HistoryRow {
  readonly turn_id: string
  readonly role: 'user' | 'assistant'
  readonly body: string
  readonly incomplete: IncompleteReason | null
  readonly created_at: number
}

function* seqOf(tenant: string, conversation: string, turnId: string): Work<number | undefined> {
  const row = yield* first<{ seq: number | null }>(
    'SELECT seq FROM turns WHERE tenant = ? AND id = ? AND conversation = ?',
    ...[tenant, turnId, conversation],
  )
  return row?.seq ?? undefined
}
