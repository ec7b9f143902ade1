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
  const ids = turns.map(({ answer }) => answer.turnId)
  const twice = ids.find((one, n) => ids.indexOf(one) < n)
  if (twice !== undefined) throw DaehwaError.of('history_exists', { turn: twice })
  const [known] = yield* all<{ id: string }>(
    `SELECT id FROM turns WHERE tenant = ? AND id IN (${ids.map(() => '?').join(', ')}) LIMIT 1`,
    ...[tenant, ...ids],
  )
  if (known !== undefined) throw DaehwaError.of('history_exists', { turn: known.id })
  for (const [n, turn] of turns.entries()) yield* keepTurn(tenant, id, seq + n, turn)
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
    yield* run('UPDATE turns SET conversation = ? WHERE tenant = ? AND conversation = ?', id, tenant, empty)
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
  yield* run('DELETE FROM turns WHERE tenant = ? AND conversation = ?', tenant, id)
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

function* keepTurn(tenant: string, conversation: string, seq: number, turn: ArchivedTurn): Work<void> {
  const { question, answer } = turn
  const { usage, incomplete = null, reasoning, turnId } = answer
  yield* run(
    `INSERT INTO turns (tenant, id, place, conversation, epoch, seq, status, model, input_tokens, pieces, incomplete,
       usage_input, usage_output, usage_total, created_at, dispatched_at, ended_at)
     VALUES (?, ?, '', ?, 0, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ...[tenant, turnId, conversation, seq, incomplete === null ? 'completed' : 'incomplete', answer.model],
    ...[`${answer.content.length}`, incomplete],
    ...[usage?.input_tokens ?? null, usage?.output_tokens ?? null, usage?.total_tokens ?? null],
    ...[question.at, question.at, answer.at],
  )
  for (const [position, message] of [question, answer].entries()) {
    yield* keepItem(tenant, conversation, seq, position, message)
  }
  if (reasoning === undefined) return
  yield* run(
    `INSERT INTO items (tenant, conversation, seq, position, id, turn_id, type, body, tokens, created_at)
     VALUES (?, ?, ?, 2, ?, ?, 'reasoning', ?, 0, ?)`,
    ...[
      tenant,
      conversation,
      seq,
      reasoningId(turnId),
      turnId,
      JSON.stringify({ text: reasoning }),
      answer.at,
    ],
  )
}

function* keepItem(
  tenant: string,
  conversation: string,
  seq: number,
  position: number,
  { id, turnId, role, content, incomplete, pinned, at }: ArchivedMessage,
): Work<void> {
  const { json, tokens } = uncounted(role, content)
  const values: Value[] = [tenant, conversation, seq, position, id, turnId, role, json, tokens]
  yield* run(
    `INSERT INTO items (tenant, conversation, seq, position, id, turn_id, type, role, body, tokens, counted, incomplete,
       pinned, created_at)
     VALUES (?, ?, ?, ?, ?, ?, 'message', ?, ?, ?, 0, ?, ?, ?)`,
    ...[...values, incomplete ?? null, pinned === true ? 1 : 0, at],
  )
}
