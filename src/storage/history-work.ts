import { countThatFit } from '../conversation/context/context-window.ts'
import type { ConversationKey, HistoryEntry, IncompleteReason } from '../conversation/conversation.ts'
import { DaehwaError } from '../conversation/errors.ts'
import type { Cleared } from '../conversation/store.ts'
import { lastActive } from './conversation-row.ts'
import { all, first, locked, run, type Work } from './database.ts'
import { dropImportsOf } from './import-work.ts'
import { turnSizes } from './past-work.ts'
import { before } from './statuses.ts'
import { dropEndedTurns } from './turns-outside.ts'

/** How much of a history is read at once: so many turns, or so many tokens at most, whichever comes first. */
const page = { turns: 64, tokens: 200_000 }

/** For how long a turn that an erasing ended can be asked why. Milliseconds. */
const erasedFor = 24 * 60 * 60 * 1000

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
    `SELECT id, turn_id, role, body, incomplete, created_at FROM items
     WHERE tenant = ? AND conversation = ? AND seq >= ? AND seq < ? AND type = 'message' ORDER BY seq, position`,
    ...[tenant, conversation, from, to],
  )
  return { entries: rows.map(toEntry), rest: { ...range, from: sizes.length === 0 ? range.to : to } }
}

export function* clear({ tenant, client }: ConversationKey, at: number): Work<Cleared> {
  const conversation = yield* first<{ id: string }>(
    `UPDATE conversations SET epoch = epoch + 1, first_seq = next_seq, active_turn = NULL,
       updated_at = ${lastActive('?')},
       input_tokens = 0, output_tokens = 0, pins = 0, compacted_to = 0, compacting_until = NULL, compaction_error = NULL
     WHERE tenant = ? AND client_name = ? RETURNING id`,
    ...[at, at, tenant, client],
  )
  yield* dropImportsOf({ tenant, client })
  if (conversation === undefined) return nothing
  const { id } = conversation
  const counted = yield* first<{ count: number }>(
    "SELECT count(*) AS count FROM items WHERE tenant = ? AND conversation = ? AND type = 'message'",
    ...[tenant, id],
  )
  yield* dropEndedTurns(tenant, id)
  const { code, message } = DaehwaError.of('history_deleted')
  yield* all(
    `DELETE FROM turns WHERE tenant = ? AND error_code = '${code}' AND ended_at < ?`,
    ...[tenant, at - erasedFor],
  )
  const ended = yield* all<{ id: string }>(
    `UPDATE turns SET status = 'cancelled', error_code = ?, error_message = ?, ended_at = ?, input = NULL,
       instructions = NULL, settings = NULL, output = NULL, pieces = NULL, reasoning = NULL
     WHERE tenant = ? AND conversation = ? AND status IN (${before('cancel')}) RETURNING id`,
    ...[code, message, at, tenant, id],
  )
  yield* run('DELETE FROM items WHERE tenant = ? AND conversation = ?', tenant, id)
  yield* run('DELETE FROM compactions WHERE tenant = ? AND conversation = ?', tenant, id)
  return { messages: counted?.count ?? 0, turns: ended.map((turn) => turn.id), conversation: id }
}

export function* forget(key: ConversationKey, at: number, idleSince?: number): Work<Cleared> {
  if (idleSince !== undefined && !(yield* isIdle(key, idleSince))) return nothing
  const cleared = yield* clear(key, at)
  // By its id: another one of that name, made since by a first message, was not cleared.
  if (cleared.conversation !== undefined)
    yield* run('DELETE FROM conversations WHERE tenant = ? AND id = ?', key.tenant, cleared.conversation)
  return cleared
}

const nothing: Cleared = { messages: 0, turns: [], conversation: undefined }

function* isIdle({ tenant, client }: ConversationKey, since: number): Work<boolean> {
  const row = yield* locked<{ id: string; updated_at: number }>(
    'SELECT id, updated_at FROM conversations WHERE tenant = ? AND client_name = ?',
    ...[tenant, client],
  )
  if (row?.updated_at !== since) return false
  const open = yield* first<{ id: string }>(
    `SELECT id FROM turns WHERE tenant = ? AND conversation = ? AND status IN (${before('cancel')}) LIMIT 1`,
    ...[tenant, row.id],
  )
  return open === undefined
}

interface HistoryRow {
  readonly id: string
  readonly turn_id: string
  readonly role: 'user' | 'assistant'
  readonly body: string
  readonly incomplete: IncompleteReason | null
  readonly created_at: number
}

const toEntry = (row: HistoryRow): HistoryEntry => ({
  id: row.id,
  turnId: row.turn_id,
  role: row.role,
  content: (JSON.parse(row.body) as { content: string }).content,
  at: row.created_at,
  ...(row.incomplete === null ? {} : { incomplete: row.incomplete }),
})

function* seqOf(tenant: string, conversation: string, turnId: string): Work<number | undefined> {
  const row = yield* first<{ seq: number | null }>(
    'SELECT seq FROM turns WHERE tenant = ? AND id = ? AND conversation = ?',
    ...[tenant, turnId, conversation],
  )
  return row?.seq ?? undefined
}
