import type { ArchivedMessage, ArchivedTurn, FinishedImport } from '../conversation/archive.ts'
import { uncounted } from '../conversation/context/sizes.ts'
import type { ConversationKey } from '../conversation/conversation.ts'
import { DaehwaError } from '../conversation/errors.ts'
import { newId } from '../conversation/ids.ts'
import { reasoningId } from '../conversation/turn-event.ts'
import { insertCompaction } from './compaction-work.ts'
import { all, first, locked, run, type Value, type Work } from './database.ts'
import type { Dialect } from './dialects.ts'
import { before } from './statuses.ts'
import { dropEndedTurns, handOverTurns } from './turns-outside.ts'

/** An import that nobody has added to for so long is over, in milliseconds. */
const stale = 60 * 60 * 1000

export function* beginImport(key: ConversationKey, at: number): Work<string> {
  yield* requireEmpty(key)
  yield* dropImportsOf(key)
  const id = newId('conv', at)
  yield* run(
    'INSERT INTO conversations (tenant, id, import_of, created_at, updated_at) VALUES (?, ?, ?, ?, ?)',
    ...[key.tenant, id, key.client, at, at],
  )
  return id
}

export function* keepImported(
  { tenant }: ConversationKey,
  id: string,
  seq: number,
  turns: readonly ArchivedTurn[],
  at: number,
): Work<void> {
  const mine = yield* first<{ id: string }>(
    'UPDATE conversations SET updated_at = ? WHERE tenant = ? AND id = ? AND import_of IS NOT NULL RETURNING id',
    ...[at, tenant, id],
  )
  if (mine === undefined) throw DaehwaError.of('history_exists', {})
  yield* keepTurns(tenant, id, seq, turns)
}

export function* finishImport(
  key: ConversationKey,
  id: string,
  { settings, createdAt, compaction, turns, inputTokens, outputTokens }: FinishedImport,
  at: number,
): Work<void> {
  const { tenant, client } = key
  const empty = yield* requireEmpty(key)
  if (empty !== undefined) {
    // Turns that failed can still be read.
    yield* handOverTurns(tenant, empty, id)
    yield* run('DELETE FROM conversations WHERE tenant = ? AND id = ?', tenant, empty)
  }
  const { model, retention_days, ...others } = settings
  const made = yield* first<{ id: string }>(
    `UPDATE conversations SET client_name = import_of, import_of = NULL, model = ?, retention_days = ?, settings = ?,
       created_at = ?, updated_at = ?, next_seq = ?, input_tokens = ?, output_tokens = ?, compacted_to = ?,
       pins = (SELECT count(*) FROM items WHERE tenant = ? AND conversation = ? AND pinned = 1)
     WHERE tenant = ? AND id = ? AND import_of = ? RETURNING id`,
    ...[model ?? null, retention_days ?? null, JSON.stringify(others), createdAt, at],
    ...[turns, inputTokens, outputTokens, compaction?.toSeq ?? 0, tenant, id, tenant, id, client],
  )
  if (made === undefined) throw DaehwaError.of('history_exists', {})
  if (compaction !== undefined) yield* insertCompaction(tenant, id, compaction)
}

/** What is being imported for a client: whoever does it is refused with the next step. */
export function* dropImportsOf({ tenant, client }: ConversationKey): Work<void> {
  const rows = yield* all<{ id: string }>(
    'SELECT id FROM conversations WHERE tenant = ? AND import_of = ?',
    ...[tenant, client],
  )
  for (const { id } of rows) yield* dropImport(tenant, id)
}

export function* dropImport(tenant: string, id: string): Work<void> {
  const mine = yield* first<{ id: string }>(
    'DELETE FROM conversations WHERE tenant = ? AND id = ? AND import_of IS NOT NULL RETURNING id',
    ...[tenant, id],
  )
  if (mine === undefined) return
  yield* dropEndedTurns(tenant, id)
  yield* run('DELETE FROM items WHERE tenant = ? AND conversation = ?', tenant, id)
}

export function* dropStaleImports({ now }: Dialect, age = stale): Work<number> {
  const rows = yield* all<{ tenant: string; id: string }>(
    `SELECT tenant, id FROM conversations WHERE import_of IS NOT NULL AND updated_at <= ${now} - ?`,
    age,
  )
  for (const { tenant, id } of rows) yield* dropImport(tenant, id)
  return rows.length
}

/** The conversation of a client that has no history; undefined where there is no such client. @throws DaehwaError `history_exists` */
function* requireEmpty({ tenant, client }: ConversationKey): Work<string | undefined> {
  const row = yield* locked<{ id: string; first_seq: number; next_seq: number }>(
    'SELECT id, first_seq, next_seq FROM conversations WHERE tenant = ? AND client_name = ?',
    ...[tenant, client],
  )
  if (row === undefined) return undefined
  const open = yield* first<{ id: string }>(
    `SELECT id FROM turns WHERE tenant = ? AND conversation = ? AND status IN (${before('cancel')}) LIMIT 1`,
    ...[tenant, row.id],
  )
  if (row.next_seq > row.first_seq || open !== undefined) throw DaehwaError.of('history_exists', {})
  return row.id
}

/** The rows of some turns, in few statements. */
function* keepTurns(
  tenant: string,
  conversation: string,
  from: number,
  turns: readonly ArchivedTurn[],
): Work<void> {
  const made = yield* insert(
    'turns',
    'place, epoch, input_tokens',
    "'', 0, 0",
    turns.map((turn, n) => ({ tenant, conversation, seq: from + n, ...turnRow(turn) })),
    'ON CONFLICT (tenant, id) DO NOTHING RETURNING id',
  )
  const known = turns.find(({ answer }) => !made.delete(answer.turnId))
  if (known !== undefined) throw DaehwaError.of('history_exists', { turn: known.answer.turnId })
  const messages = turns.flatMap(({ question, answer }, n) =>
    [question, answer].map((message, position) => ({ seq: from + n, position, ...messageRow(message) })),
  )
  yield* insert(
    'items',
    'type, counted',
    "'message', 0",
    messages.map((row) => ({ tenant, conversation, ...row })),
  )
  const thoughts = turns.flatMap(({ answer: { reasoning, turnId, at } }, n) =>
    reasoning === undefined ? [] : [{ seq: from + n, ...thoughtRow(reasoning, turnId, at) }],
  )
  yield* insert(
    'items',
    'type, position, tokens',
    "'reasoning', 2, 0",
    thoughts.map((row) => ({ tenant, conversation, ...row })),
  )
}

type Row = Readonly<Record<string, Value>>

/** How many rows go with one statement. */
const together = 50

/** Inserts rows that have the same columns; `fixed` are columns that are equal in all of them. Answers the ids that `end` returns. */
function* insert(
  table: string,
  fixed: string,
  values: string,
  rows: readonly Row[],
  end = '',
): Work<Set<string>> {
  const ids = new Set<string>()
  const columns = Object.keys(rows[0] ?? {})
  const row = `(${values}, ${columns.map(() => '?').join(', ')})`
  for (let from = 0; from < rows.length; ) {
    // Of two sizes only: each is a statement that the database prepares once.
    const count = rows.length - from >= together ? together : 1
    const some = rows.slice(from, from + count)
    const sql = `INSERT INTO ${table} (${fixed}, ${columns.join(', ')}) VALUES ${some.map(() => row).join(', ')} ${end}`
    const given = some.flatMap((one) => columns.map((column) => one[column] ?? null))
    if (end === '') yield* run(sql, ...given)
    else for (const { id } of yield* all<{ id: string }>(sql, ...given)) ids.add(id)
    from += count
  }
  return ids
}

const turnRow = ({ question, answer }: ArchivedTurn): Row => ({
  id: answer.turnId,
  status: answer.incomplete === undefined ? 'completed' : 'incomplete',
  model: answer.model,
  pieces: `${answer.content.length}`,
  incomplete: answer.incomplete ?? null,
  usage_input: answer.usage?.input_tokens ?? null,
  usage_output: answer.usage?.output_tokens ?? null,
  usage_total: answer.usage?.total_tokens ?? null,
  created_at: question.at,
  dispatched_at: question.at,
  ended_at: answer.at,
})

function messageRow({ id, turnId, role, content, incomplete, pinned, at }: ArchivedMessage): Row {
  const { json, tokens } = uncounted(role, content)
  const flags = { incomplete: incomplete ?? null, pinned: pinned === true ? 1 : 0 }
  return { id, turn_id: turnId, role, body: json, tokens, ...flags, created_at: at }
}

const thoughtRow = (text: string, turnId: string, at: number): Row => ({
  ...{ id: reasoningId(turnId), turn_id: turnId, body: JSON.stringify({ text }), created_at: at },
})
