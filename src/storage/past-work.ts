import type { ConversationState } from '../conversation/client.ts'
import {
  type ConversationKey,
  type ItemView,
  type LateCount,
  mostPins,
  type PastItem,
  type PastTurn,
  type Size,
} from '../conversation/conversation.ts'
import { invalid } from '../conversation/errors.ts'
import { all, first, locked, run, tuples, type Work } from './database.ts'

export function* turnsBefore(state: ConversationState, beforeSeq: number, count: number): Work<PastTurn[]> {
  const from = Math.max(state.firstSeq, beforeSeq - count)
  return (yield* turnSizes(state.tenant, state.conversation, from, beforeSeq)).reverse()
}

export function* tokensBetween(
  { tenant, conversation }: ConversationState,
  from: number,
  to: number,
): Work<number> {
  const row = yield* first<{ tokens: number | null }>(
    `SELECT sum(tokens) AS tokens FROM items
     WHERE tenant = ? AND conversation = ? AND seq >= ? AND seq < ? AND type = 'message'`,
    ...[tenant, conversation, from, to],
  )
  return Number(row?.tokens ?? 0) // a sum of int8 is a numeric, which some databases give as text
}

/** The sizes of a run of turns, oldest first. */
export function* turnSizes(tenant: string, conversation: string, from: number, to: number): Work<PastTurn[]> {
  const rows = yield* all<{ seq: number; tokens: number; counted: number }>(
    `SELECT seq, tokens, counted FROM items
     WHERE tenant = ? AND conversation = ? AND seq >= ? AND seq < ? AND type = 'message' ORDER BY seq, position`,
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

export function* itemsFrom(
  { tenant, conversation, firstSeq, nextSeq }: ConversationState,
  fromSeq: number,
  toSeq = nextSeq,
): Work<PastItem[]> {
  const rows = yield* tuples<[seq: number, position: number, tokens: number, counted: number, json: string]>(
    `SELECT seq, position, tokens, counted, body FROM items
     WHERE tenant = ? AND conversation = ? AND seq >= ? AND seq < ? AND type = 'message' ORDER BY seq, position`,
    ...[tenant, conversation, Math.max(firstSeq, fromSeq), Math.min(toSeq, nextSeq)],
  )
  return rows.map(([seq, position, tokens, counted, json]) => ({
    seq,
    position,
    tokens,
    counted: counted === 1,
    json,
  }))
}

export function* views(
  { tenant, conversation, firstSeq }: ConversationState,
  fromSeq: number,
  toSeq: number,
): Work<ItemView[]> {
  const rows = yield* all<ViewRow>(
    `SELECT ${viewColumns} FROM items
     WHERE tenant = ? AND conversation = ? AND seq >= ? AND seq < ? AND type = 'message' ORDER BY seq, position`,
    ...[tenant, conversation, Math.max(firstSeq, fromSeq), toSeq],
  )
  return rows.map(toView)
}

export function* keepCounts(
  { tenant, conversation }: ConversationState,
  counts: readonly LateCount[],
): Work<void> {
  yield* locked('SELECT id FROM conversations WHERE tenant = ? AND id = ?', tenant, conversation)
  for (const { tokens, seq, position } of counts) {
    yield* run(
      'UPDATE items SET tokens = ?, counted = 1 WHERE tenant = ? AND conversation = ? AND seq = ? AND position = ?',
      ...[tokens, tenant, conversation, seq, position],
    )
  }
}

export function* pinned({ tenant, conversation, firstSeq, nextSeq }: ConversationState): Work<ItemView[]> {
  const rows = yield* all<ViewRow>(
    `SELECT ${viewColumns} FROM items
     WHERE tenant = ? AND conversation = ? AND seq >= ? AND seq < ? AND pinned = 1 ORDER BY seq, position`,
    ...[tenant, conversation, firstSeq, nextSeq],
  )
  return rows.map(toView)
}

export function* pin({ tenant, client }: ConversationKey, itemId: string, on: boolean): Work<boolean> {
  const [id, pinnedNow] = [itemId, on ? 1 : 0]
  const conversation = yield* locked<{ id: string }>(
    'SELECT id FROM conversations WHERE tenant = ? AND client_name = ?',
    ...[tenant, client],
  )
  if (conversation === undefined) return false
  const item = yield* first<{ pinned: number }>(
    "SELECT pinned FROM items WHERE tenant = ? AND conversation = ? AND id = ? AND type = 'message'",
    ...[tenant, conversation.id, id],
  )
  if (item === undefined || item.pinned === pinnedNow) return item !== undefined
  const already = yield* first<{ count: number }>(
    'SELECT count(*) AS count FROM items WHERE tenant = ? AND conversation = ? AND pinned = 1',
    ...[tenant, conversation.id],
  )
  if (on && (already?.count ?? 0) >= mostPins) {
    throw invalid(`${mostPins} messages are pinned already. Take a pin away first.`)
  }
  yield* run(
    'UPDATE items SET pinned = ? WHERE tenant = ? AND conversation = ? AND id = ?',
    ...[pinnedNow, tenant, conversation.id, id],
  )
  yield* run('UPDATE conversations SET pins = pins + 1 WHERE tenant = ? AND id = ?', tenant, conversation.id)
  return true
}

const viewColumns = 'seq, position, id, turn_id, tokens, counted, body'

interface ViewRow {
  readonly seq: number
  readonly position: number
  readonly id: string
  readonly turn_id: string
  readonly tokens: number
  readonly counted: number
  readonly body: string
}

const toView = (row: ViewRow): ItemView => ({
  seq: row.seq,
  position: row.position,
  id: row.id,
  turnId: row.turn_id,
  tokens: row.tokens,
  counted: row.counted === 1,
  json: row.body,
})
