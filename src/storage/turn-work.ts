import { newId } from '../conversation/ids.ts'
import type { Claim, FinishedTurn, NewTurn, QueuedTurn } from '../conversation/ports.ts'
import { all, first, type Value, type Work } from './database.ts'

interface Claimed {
  readonly id: string
  readonly epoch: number
  readonly fence: number
  readonly first_seq: number
  readonly next_seq: number
}

export function* accept(turn: NewTurn): Work<void> {
  const { key, at } = turn
  const row = yield* first<{ id: string; epoch: number }>(
    `INSERT INTO conversations (tenant, id, client_name, created_at, updated_at) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (tenant, client_name) DO UPDATE SET updated_at = excluded.updated_at
     RETURNING id, epoch`,
    ...[key.tenant, newId('conv', at), key.client, at, at],
  )
  if (row === undefined) throw new Error('an upsert returned no row')
  yield* insertTurn(turn, row, 'queued', null, null)
}

export function* acceptAndClaim(turn: NewTurn, deadline: number): Work<Claim> {
  const { key, at } = turn
  const row = yield* first<Claimed>(
    `INSERT INTO conversations (tenant, id, client_name, fence, active_turn, created_at, updated_at)
     VALUES (?, ?, ?, 1, ?, ?, ?)
     ON CONFLICT (tenant, client_name) DO UPDATE SET
       fence = conversations.fence + 1, active_turn = excluded.active_turn, updated_at = excluded.updated_at
     RETURNING id, epoch, fence, first_seq, next_seq`,
    ...[key.tenant, newId('conv', at), key.client, turn.id, at, at],
  )
  if (row === undefined) throw new Error('an upsert returned no row')
  yield* insertTurn(turn, row, 'in_progress', at, deadline)
  return toClaim(key.tenant, turn.id, row)
}

export function* claim(
  tenant: string,
  turnId: string,
  at: number,
  deadline: number,
): Work<Claim | undefined> {
  const turn = yield* first<{ conversation: string }>(
    `UPDATE turns SET status = 'in_progress', dispatched_at = ?, deadline_at = ?
     WHERE tenant = ? AND id = ? AND status = 'queued' RETURNING conversation`,
    ...[at, deadline, tenant, turnId],
  )
  if (turn === undefined) return undefined
  const row = yield* first<Claimed>(
    `UPDATE conversations SET fence = fence + 1, active_turn = ?, updated_at = ?
     WHERE tenant = ? AND id = ? RETURNING id, epoch, fence, first_seq, next_seq`,
    ...[turnId, at, tenant, turn.conversation],
  )
  return row && toClaim(tenant, turnId, row)
}

export function* commit(claim: Claim, turn: FinishedTurn): Work<boolean> {
  const { tenant, conversation, turnId } = claim
  const { answer, usage, incomplete = null, at } = turn
  const released = yield* release(claim, at, 1)
  if (released === undefined) return false
  const seq = released.next_seq - 1
  yield* all(
    `INSERT INTO items (tenant, conversation, seq, position, id, turn_id, type, role, body, tokens, created_at)
     SELECT tenant, conversation, ?, 0, ?, id, 'message', 'user', input, input_tokens, created_at
     FROM turns WHERE tenant = ? AND id = ?`,
    ...[seq, newId('msg', at), tenant, turnId],
  )
  yield* all(
    `INSERT INTO items (tenant, conversation, seq, position, id, turn_id, type, role, body, tokens, incomplete, created_at)
     VALUES (?, ?, ?, 1, ?, ?, 'message', 'assistant', ?, ?, ?, ?)`,
    ...[tenant, conversation, seq, newId('msg', at), turnId, answer.json, answer.tokens, incomplete, at],
  )
  yield* all(
    `UPDATE turns SET status = ?, seq = ?, model = ?, incomplete = ?, usage_input = ?, usage_output = ?,
       usage_total = ?, ended_at = ?, input = NULL, instructions = NULL
     WHERE tenant = ? AND id = ?`,
    ...[incomplete === null ? 'completed' : 'incomplete', seq, turn.model, incomplete],
    ...[usage?.input_tokens ?? null, usage?.output_tokens ?? null, usage?.total_tokens ?? null, at],
    ...[tenant, turnId],
  )
  return true
}

export function* fail(claim: Claim, code: string, at: number): Work<void> {
  const released = yield* release(claim, at, 0)
  if (released !== undefined) yield* endTurn(claim.tenant, claim.turnId, 'failed', code, at)
}

export function* abandon(tenant: string, turnId: string, code: string, at: number): Work<void> {
  yield* all(
    `UPDATE turns SET status = 'failed', error_code = ?, ended_at = ?, input = NULL, instructions = NULL
     WHERE tenant = ? AND id = ? AND status = 'queued'`,
    ...[code, at, tenant, turnId],
  )
}

export function* recover(at: number): Work<QueuedTurn[]> {
  // The one place that asks for all tenants: the process has just started, and what was running is nobody's.
  const cut = yield* all<{ tenant: string; id: string; conversation: string }>(
    "SELECT tenant, id, conversation FROM turns WHERE status = 'in_progress'",
  )
  for (const { tenant, id, conversation } of cut) {
    yield* endTurn(tenant, id, 'failed', 'server_restarted', at)
    yield* all(
      'UPDATE conversations SET active_turn = NULL WHERE tenant = ? AND id = ? AND active_turn = ?',
      ...[tenant, conversation, id],
    )
  }
  const queued = yield* all<QueuedRow>(
    `SELECT t.tenant, t.id, c.client_name, t.model, t.instructions, t.input, t.input_tokens
     FROM turns t JOIN conversations c ON c.tenant = t.tenant AND c.id = t.conversation
     WHERE t.status = 'queued' ORDER BY t.id`,
  )
  return queued.map((row) => ({
    id: row.id,
    key: { tenant: row.tenant, client: row.client_name },
    input: { json: row.input, tokens: row.input_tokens },
    model: row.model,
    instructions: row.instructions ?? undefined,
  }))
}

function* endTurn(tenant: string, id: string, status: string, code: string, at: number): Work<void> {
  yield* all(
    `UPDATE turns SET status = ?, error_code = ?, ended_at = ?, input = NULL, instructions = NULL
     WHERE tenant = ? AND id = ?`,
    ...[status, code, at, tenant, id],
  )
}

interface QueuedRow {
  readonly tenant: string
  readonly id: string
  readonly client_name: string
  readonly model: string
  readonly instructions: string | null
  readonly input: string
  readonly input_tokens: number
}

/** Gives a conversation back, if the claim on it is still the newest, and counts the turns that are added. */
function* release(claim: Claim, at: number, added: 0 | 1): Work<{ next_seq: number } | undefined> {
  return yield* first<{ next_seq: number }>(
    `UPDATE conversations SET next_seq = next_seq + ?, active_turn = NULL, updated_at = ?
     WHERE tenant = ? AND id = ? AND epoch = ? AND fence = ? AND active_turn = ? RETURNING next_seq`,
    ...[added, at, claim.tenant, claim.conversation, claim.epoch, claim.fence, claim.turnId],
  )
}

function* insertTurn(
  turn: NewTurn,
  conversation: { id: string; epoch: number },
  status: 'queued' | 'in_progress',
  dispatchedAt: number | null,
  deadline: number | null,
): Work<void> {
  const values: Value[] = [turn.key.tenant, turn.id, conversation.id, conversation.epoch, status, turn.model]
  values.push(turn.instructions ?? null, turn.input.json, turn.input.tokens, turn.at, dispatchedAt, deadline)
  yield* all(
    `INSERT INTO turns (tenant, id, conversation, epoch, status, model, instructions, input, input_tokens,
       created_at, dispatched_at, deadline_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ...values,
  )
}

const toClaim = (tenant: string, turnId: string, row: Claimed): Claim => ({
  turnId,
  tenant,
  conversation: row.id,
  epoch: row.epoch,
  fence: row.fence,
  firstSeq: row.first_seq,
  nextSeq: row.next_seq,
})
