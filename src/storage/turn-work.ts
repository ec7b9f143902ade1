import type { Charge } from '../conversation/charge.ts'
import { newId } from '../conversation/ids.ts'
import type { Claim, NewItems, OwnTurn } from '../conversation/store.ts'
import type { TurnRecord } from '../conversation/turn.ts'
import { answerId, reasoningId } from '../conversation/turn-event.ts'
import { type Claimed, toClaim } from './accept-turn.ts'
import { lastActive, safeSum, stateColumns } from './conversation-row.ts'
import { first, lock, locked, run, type Work } from './database.ts'
import { before } from './statuses.ts'
import { charge, chargeOnce } from './usage-work.ts'

/** The conversation of a turn. */
export const ofTurn =
  'SELECT id FROM conversations WHERE tenant = ? AND id = (SELECT conversation FROM turns WHERE tenant = ? AND id = ?)'

export function* claim(
  { key: { tenant }, id, owner }: OwnTurn,
  at: number,
  deadline: number,
  shared: boolean,
): Work<Claim | 'wait' | 'gone'> {
  const next = [shared ? 1 : 0, owner, owner]
  const seen = yield* first<{ conversation: string; free: number }>(
    `SELECT t.conversation, CASE WHEN ${isNext} THEN 1 ELSE 0 END AS free FROM turns t
     WHERE t.tenant = ? AND t.id = ? AND t.owner = ? AND t.status IN (${before('claim')})`,
    ...[...next, tenant, id, owner],
  )
  if (seen === undefined) return 'gone'
  if (seen.free === 0) return 'wait' // the many who look and must wait lock nothing
  yield* lock('SELECT id FROM conversations WHERE tenant = ? AND id = ?', tenant, seen.conversation)
  const turn = yield* first<{ conversation: string }>(
    `UPDATE turns AS t SET status = 'in_progress', dispatched_at = ?, deadline_at = ?
     WHERE t.tenant = ? AND t.id = ? AND t.owner = ? AND t.status IN (${before('claim')}) AND ${isNext}
     RETURNING conversation`,
    ...[at, deadline, tenant, id, owner, ...next],
  )
  if (turn === undefined) return 'wait' // another one was faster; the next look tells what became of this one
  const row = yield* first<Claimed>(
    `UPDATE conversations SET fence = fence + 1, active_turn = ?, updated_at = ${lastActive('?')}
     WHERE tenant = ? AND id = ? RETURNING fence, ${stateColumns}`,
    ...[id, at, at, tenant, turn.conversation],
  )
  if (row === undefined) throw new Error('a turn has no conversation') // and so the turn is not begun
  return toClaim(tenant, id, row)
}

export function* commit(
  claim: Claim,
  turn: TurnRecord,
  { answer, servedBy }: NewItems,
  charged?: Charge,
): Work<boolean> {
  const { tenant, conversation, turnId } = claim
  const { usage, incomplete = null, endedAt: at = null } = turn
  const released = yield* release(claim, at, turn, servedBy)
  if (released === undefined) return false
  const seq = released.next_seq - 1
  yield* run(
    `INSERT INTO items (tenant, conversation, seq, position, id, turn_id, type, role, body, tokens, counted,
       created_at)
     SELECT tenant, conversation, ?, 0, ?, id, 'message', 'user', input, input_tokens, input_counted, created_at
     FROM turns WHERE tenant = ? AND id = ?`,
    ...[seq, newId('msg', turn.createdAt), tenant, turnId],
  )
  yield* insertAnswer({ tenant, conversation, seq, turnId }, { ...turn, answer })
  yield* run(
    `UPDATE turns SET status = ?, seq = ?, served_model = ?, pieces = ?, incomplete = ?, usage_input = ?,
       usage_output = ?, usage_total = ?, ended_at = ?, input = NULL, instructions = NULL,
       settings = NULL, output = NULL, reasoning = NULL, reserved = ?, charged = 1
     WHERE tenant = ? AND id = ?`,
    ...[turn.status, seq, turn.model, turn.pieces.join(','), incomplete],
    ...[usage?.input_tokens ?? null, usage?.output_tokens ?? null, usage?.total_tokens ?? null, at],
    ...[charged === undefined ? 0 : charged.input + charged.output, tenant, turnId],
  )
  if (charged !== undefined) yield* charge(charged)
  return true
}

interface ItemPlace {
  readonly tenant: string
  readonly conversation: string
  readonly seq: number
  readonly turnId: string
}

type AnswerItems = Pick<TurnRecord, 'reasoning' | 'incomplete' | 'endedAt'> & Pick<NewItems, 'answer'>

/** The answer of a turn, and what was thought aloud before it. */
export function* insertAnswer(
  { tenant, conversation, seq, turnId }: ItemPlace,
  { answer, reasoning, incomplete, endedAt: at }: AnswerItems,
): Work<void> {
  yield* run(
    `INSERT INTO items (tenant, conversation, seq, position, id, turn_id, type, role, body, tokens, counted,
       incomplete, created_at)
     VALUES (?, ?, ?, 1, ?, ?, 'message', 'assistant', ?, ?, ?, ?, ?)`,
    ...[tenant, conversation, seq, answerId(turnId), turnId, answer.json, answer.tokens],
    ...[answer.counted ? 1 : 0, incomplete ?? null, at ?? null],
  )
  if (reasoning === '') return
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
      at ?? null,
    ],
  )
}

export function* end(claim: Claim, turn: TurnRecord, charged?: Charge): Work<void> {
  const released = yield* release(claim, turn.endedAt ?? null)
  const ofAnother = released === undefined && (yield* isActive(claim)) // who runs this very turn
  if (!ofAnother) yield* endTurn(claim.tenant, turn, "'in_progress'")
  if (charged !== undefined) yield* chargeOnce(turn.id, charged)
}

export function* endQueued({ key: { tenant }, id, owner }: OwnTurn, record: TurnRecord): Work<boolean> {
  yield* lock(ofTurn, tenant, tenant, id)
  const mine = yield* first<{ id: string }>(
    "SELECT id FROM turns WHERE tenant = ? AND id = ? AND owner = ? AND status = 'queued'",
    ...[tenant, id, owner],
  )
  if (mine !== undefined) yield* endTurn(tenant, { ...record, id }, "'queued'")
  return mine !== undefined
}

/**
 * Whether the turn `t` may run now, for its owner (the second and third `?`): none waits before it, and none runs, unless it is
 * one of the owner's own, who looks after the order of those by itself. Whoever has the database alone (the first `?` is 0)
 * looks so after those that wait, too: one whose end could not be written yet holds up nobody.
 */
const isNext = `NOT EXISTS (SELECT 1 FROM turns q WHERE q.tenant = t.tenant AND q.conversation = t.conversation
    AND q.status IN (${before('cancel')}) AND q.status = 'queued' AND q.place < t.place
    AND (? = 1 OR q.owner IS NULL OR q.owner <> ?))
  AND NOT EXISTS (SELECT 1 FROM conversations c JOIN turns r ON r.tenant = c.tenant AND r.id = c.active_turn
    WHERE c.tenant = t.tenant AND c.id = t.conversation AND (r.owner IS NULL OR r.owner <> ?))`

type Ending = Pick<TurnRecord, 'id' | 'status' | 'error' | 'text' | 'reasoning' | 'pieces' | 'endedAt'>

/** Ends a turn that is in one of the statuses `from`; its messages do not enter the history. */
function* endTurn(tenant: string, turn: Ending, from: string): Work<void> {
  const { error, text, pieces, reasoning } = turn
  yield* run(
    `UPDATE turns SET status = ?, error_code = ?, error_message = ?, output = ?, pieces = ?, ended_at = ?,
       reasoning = ?, input = NULL, instructions = NULL, settings = NULL
     WHERE tenant = ? AND id = ? AND status IN (${from})`,
    ...[
      turn.status,
      error?.code ?? null,
      error?.message ?? null,
      text,
      pieces.join(','),
      turn.endedAt ?? null,
      reasoning || null,
    ],
    ...[tenant, turn.id],
  )
}

function* isActive({ tenant, conversation, turnId }: Claim): Work<boolean> {
  const row = yield* locked<{ active_turn: string | null }>(
    'SELECT active_turn FROM conversations WHERE tenant = ? AND id = ?',
    ...[tenant, conversation],
  )
  return row?.active_turn === turnId
}

/**
 * Gives a conversation back, if the claim on it is still the newest, and counts the turn that is added. Who answered is
 * kept only if nobody has chosen models anew since the claim.
 */
function* release(
  claim: Claim,
  at: number | null,
  added?: TurnRecord,
  servedBy?: string,
): Work<{ next_seq: number } | undefined> {
  const { input_tokens: input = 0, output_tokens: output = 0 } = added?.usage ?? {}
  return yield* first<{ next_seq: number }>(
    `UPDATE conversations SET next_seq = next_seq + ?, active_turn = NULL, updated_at = ${lastActive('?')},
       input_tokens = ${safeSum('input_tokens')}, output_tokens = ${safeSum('output_tokens')},
       served_by = CASE WHEN coalesce(served_by, '') = ? THEN coalesce(?, served_by) ELSE served_by END
     WHERE tenant = ? AND id = ? AND epoch = ? AND fence = ? AND active_turn = ? RETURNING next_seq`,
    ...[added === undefined ? 0 : 1, at, at, input, input, output, output],
    ...[claim.servedBy ?? '', servedBy ?? null],
    ...[claim.tenant, claim.conversation, claim.epoch, claim.fence, claim.turnId],
  )
}
