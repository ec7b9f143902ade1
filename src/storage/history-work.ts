import { countThatFit } from '../conversation/context-window.ts'
import type {
  ConversationKey,
  HistoryEntry,
  IncompleteReason,
  LateCount,
  PastItem,
  PastTurn,
  Size,
} from '../conversation/conversation.ts'
import { DaehwaError } from '../conversation/errors.ts'
import { newId } from '../conversation/ids.ts'
import type { Claim, Cleared } from '../conversation/ports.ts'
import { all, first, type Work } from './database.ts'
import { before } from './statuses.ts'

/** How much of a history is read at once: so many turns, or so many tokens at most, whichever comes first. */
const page = { turns: 64, tokens: 200_000 }

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
  const from = Math.max(claim.firstSeq, beforeSeq - count)
  return (yield* turnSizes(claim.tenant, claim.conversation, from, beforeSeq)).reverse()
}

export function* itemsFrom(claim: Claim, fromSeq: number, toSeq = claim.nextSeq): Work<PastItem[]> {
  const rows = yield* all<Omit<PastItem, 'counted'> & { counted: number }>(
    `SELECT seq, position, tokens, counted, body AS json FROM items
     WHERE tenant = ? AND conversation = ? AND seq >= ? AND seq < ? ORDER BY seq, position`,
    ...[claim.tenant, claim.conversation, Math.max(claim.firstSeq, fromSeq), toSeq],
  )
  return rows.map((row) => ({ ...row, counted: row.counted === 1 }))
}

export function* keepCounts({ tenant, conversation }: Claim, counts: readonly LateCount[]): Work<void> {
  for (const { tokens, seq, position } of counts) {
    yield* all(
      'UPDATE items SET tokens = ?, counted = 1 WHERE tenant = ? AND conversation = ? AND seq = ? AND position = ?',
      ...[tokens, tenant, conversation, seq, position],
    )
  }
}

/** A run of turns of one conversation: `from <= seq < to`. */
export interface Range {
  readonly tenant: string
  readonly conversation: string
  readonly from: number
  readonly to: number
}

export function* historyRange(
  { tenant, client }: ConversationKey,
  turns?: number,
  before?: string,
): Work<Range | undefined> {
  const row = yield* first<{ id: string; first_seq: number; next_seq: number }>(
    'SELECT id, first_seq, next_seq FROM conversations WHERE tenant = ? AND client_name = ?',
    ...[tenant, client],
  )
  if (row === undefined) return undefined
  const to = before === undefined ? row.next_seq : yield* seqOf(tenant, row.id, before)
  if (to === undefined) return undefined
  const from = turns === undefined ? row.first_seq : Math.max(row.first_seq, to - turns)
  return { tenant, conversation: row.id, from, to }
}

/** The messages at the beginning of a range, as many turns as fit into a page, and what is left of the range. */
export function* historyPage(range: Range): Work<{ entries: HistoryEntry[]; rest: Range }> {
  const { tenant, conversation, from } = range
  const sizes = yield* turnSizes(tenant, conversation, from, Math.min(range.to, from + page.turns))
  const fitting = countThatFit(
    page.tokens,
    sizes.map((turn) => turn.sizes.map(({ tokens }) => tokens)),
  )
  const to = from + Math.max(1, fitting)
  const rows = yield* all<HistoryRow>(
    `SELECT turn_id, role, body, incomplete, created_at FROM items
     WHERE tenant = ? AND conversation = ? AND seq >= ? AND seq < ? AND type = 'message' ORDER BY seq, position`,
    ...[tenant, conversation, from, to],
  )
  return { entries: rows.map(toEntry), rest: { ...range, from: sizes.length === 0 ? range.to : to } }
}

export function* clear({ tenant, client }: ConversationKey, at: number): Work<Cleared> {
  const conversation = yield* first<{ id: string }>(
    `UPDATE conversations SET epoch = epoch + 1, first_seq = next_seq, active_turn = NULL, updated_at = ?
     WHERE tenant = ? AND client_name = ? RETURNING id`,
    ...[at, tenant, client],
  )
  if (conversation === undefined) return { messages: 0, turns: [] }
  const { id } = conversation
  const counted = yield* first<{ count: number }>(
    "SELECT count(*) AS count FROM items WHERE tenant = ? AND conversation = ? AND type = 'message'",
    ...[tenant, id],
  )
  const open = before('cancel')
  yield* all(
    `DELETE FROM turns WHERE tenant = ? AND conversation = ? AND status NOT IN (${open})`,
    ...[tenant, id],
  )
  const { code, message } = DaehwaError.of('history_deleted')
  const ended = yield* all<{ id: string }>(
    `UPDATE turns SET status = 'cancelled', error_code = ?, error_message = ?, ended_at = ?, input = NULL,
       instructions = NULL
     WHERE tenant = ? AND conversation = ? AND status IN (${open}) RETURNING id`,
    ...[code, message, at, tenant, id],
  )
  yield* all('DELETE FROM items WHERE tenant = ? AND conversation = ?', tenant, id)
  return { messages: counted?.count ?? 0, turns: ended.map((turn) => turn.id) }
}

interface HistoryRow {
  readonly turn_id: string
  readonly role: 'user' | 'assistant'
  readonly body: string
  readonly incomplete: IncompleteReason | null
  readonly created_at: number
}

const toEntry = (row: HistoryRow): HistoryEntry => ({
  turnId: row.turn_id,
  role: row.role,
  content: (JSON.parse(row.body) as { content: string }).content,
  at: row.created_at,
  ...(row.incomplete === null ? {} : { incomplete: row.incomplete }),
})

/** The sizes of a run of turns, oldest first. */
function* turnSizes(tenant: string, conversation: string, from: number, to: number): Work<PastTurn[]> {
  const rows = yield* all<{ seq: number; tokens: number; counted: number }>(
    `SELECT seq, tokens, counted FROM items
     WHERE tenant = ? AND conversation = ? AND seq >= ? AND seq < ? ORDER BY seq, position`,
    ...[tenant, conversation, from, to],
  )
  const turns: { seq: number; sizes: Size[] }[] = []
  for (const { seq, tokens, counted } of rows) {
    const size = { tokens, counted: counted === 1 }
    const last = turns.at(-1)
    if (last?.seq === seq) last.sizes.push(size)
    else turns.push({ seq, sizes: [size] })
  }
  return turns
}

function* seqOf(tenant: string, conversation: string, turnId: string): Work<number | undefined> {
  const row = yield* first<{ seq: number | null }>(
    'SELECT seq FROM turns WHERE tenant = ? AND id = ? AND conversation = ?',
    ...[tenant, turnId, conversation],
  )
  return row?.seq ?? undefined
}
