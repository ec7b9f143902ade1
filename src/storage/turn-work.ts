import { DaehwaError } from '../conversation/errors.ts'
import { newId } from '../conversation/ids.ts'
import type { Settings } from '../conversation/settings.ts'
import type { Claim, NewItems, QueuedTurn } from '../conversation/store.ts'
import type { TurnRecord } from '../conversation/turn.ts'
import { answerId, reasoningId } from '../conversation/turn-event.ts'
import { type Claimed, toClaim } from './accept-turn.ts'
import { lastActive, safeSum, stateColumns } from './conversation-row.ts'
import { all, first, locked, run, type Work } from './database.ts'
import { before } from './statuses.ts'

export function* claim(
  tenant: string,
  turnId: string,
  at: number,
  deadline: number,
): Work<Claim | undefined> {
  yield* locked(
    'SELECT id FROM conversations WHERE tenant = ? AND id = (SELECT conversation FROM turns WHERE tenant = ? AND id = ?)',
    ...[tenant, tenant, turnId],
  )
  const turn = yield* first<{ conversation: string }>(
    `UPDATE turns SET status = 'in_progress', dispatched_at = ?, deadline_at = ?
     WHERE tenant = ? AND id = ? AND status IN (${before('claim')}) RETURNING conversation`,
    ...[at, deadline, tenant, turnId],
  )
  if (turn === undefined) return undefined
  const row = yield* first<Claimed>(
    `UPDATE conversations SET fence = fence + 1, active_turn = ?, updated_at = ${lastActive('?')}
     WHERE tenant = ? AND id = ? RETURNING fence, ${stateColumns}`,
    ...[turnId, at, at, tenant, turn.conversation],
  )
  return row && toClaim(tenant, turnId, row)
}

export function* commit(claim: Claim, turn: TurnRecord, { answer, servedBy }: NewItems): Work<boolean> {
  const { tenant, conversation, turnId } = claim
  const { usage, incomplete = null, endedAt: at = null } = turn
  const released = yield* release(claim, at, turn, servedBy)
  if (released === undefined) return false
  const seq = released.next_seq - 1
  const itemId = answerId(turnId)
  yield* run(
    `INSERT INTO items (tenant, conversation, seq, position, id, turn_id, type, role, body, tokens, counted,
       created_at)
     SELECT tenant, conversation, ?, 0, ?, id, 'message', 'user', input, input_tokens, input_counted, created_at
     FROM turns WHERE tenant = ? AND id = ?`,
    ...[seq, newId('msg', turn.createdAt), tenant, turnId],
  )
  yield* run(
    `INSERT INTO items (tenant, conversation, seq, position, id, turn_id, type, role, body, tokens, counted,
       incomplete, created_at)
     VALUES (?, ?, ?, 1, ?, ?, 'message', 'assistant', ?, ?, ?, ?, ?)`,
    ...[tenant, conversation, seq, itemId, turnId, answer.json, answer.tokens, answer.counted ? 1 : 0],
    ...[incomplete, at],
  )
  if (turn.reasoning !== '') {
    yield* run(
      `INSERT INTO items (tenant, conversation, seq, position, id, turn_id, type, body, tokens, created_at)
       VALUES (?, ?, ?, 2, ?, ?, 'reasoning', ?, 0, ?)`,
      ...[
        tenant,
        conversation,
        seq,
        reasoningId(turnId),
        turnId,
        JSON.stringify({ text: turn.reasoning }),
        at,
      ],
    )
  }
  yield* run(
    `UPDATE turns SET status = ?, seq = ?, served_model = ?, pieces = ?, incomplete = ?, usage_input = ?,
       usage_output = ?, usage_total = ?, ended_at = ?, input = NULL, instructions = NULL,
       settings = NULL
     WHERE tenant = ? AND id = ?`,
    ...[turn.status, seq, turn.model, turn.pieces.join(','), incomplete],
    ...[usage?.input_tokens ?? null, usage?.output_tokens ?? null, usage?.total_tokens ?? null, at],
    ...[tenant, turnId],
  )
  return true
}

export function* end(claim: Claim, turn: TurnRecord): Work<void> {
  const released = yield* release(claim, turn.endedAt ?? null)
  if (released === undefined && (yield* isActive(claim))) return // another owner runs this very turn
  yield* endTurn(claim.tenant, turn, before('fail'))
}

export function* endQueued(tenant: string, turn: TurnRecord): Work<void> {
  yield* endTurn(tenant, turn, "'queued'")
}

export function* recover(at: number): Work<QueuedTurn[]> {
  // The one place that asks for all tenants: the process has just started, and what was running is nobody's.
  const cut = yield* all<{ tenant: string; id: string; conversation: string }>(
    "SELECT tenant, id, conversation FROM turns WHERE status = 'in_progress'",
  )
  for (const { tenant, id, conversation } of cut) {
    const error = DaehwaError.of('server_restarted')
    yield* run(
      'UPDATE conversations SET active_turn = NULL WHERE tenant = ? AND id = ? AND active_turn = ?',
      ...[tenant, conversation, id],
    )
    yield* endTurn(
      tenant,
      { id, status: 'failed', error, text: '', reasoning: '', pieces: [], endedAt: at },
      before('fail'),
    )
  }
  yield* run('UPDATE conversations SET compacting_until = NULL WHERE compacting_until IS NOT NULL')
  const queued = yield* all<QueuedRow>(
    `SELECT t.tenant, t.id, c.client_name, t.model, t.instructions, t.settings, t.input, t.input_tokens,
       t.input_counted, t.created_at
     FROM turns t JOIN conversations c ON c.tenant = t.tenant AND c.id = t.conversation
     WHERE t.status = 'queued' ORDER BY t.place`,
  )
  return queued.map((row) => ({
    id: row.id,
    key: { tenant: row.tenant, client: row.client_name },
    input: { json: row.input, tokens: row.input_tokens, counted: row.input_counted === 1 },
    model: row.model,
    settings: {
      ...(JSON.parse(row.settings ?? '{}') as Settings),
      ...(row.instructions !== null && { instructions: row.instructions }),
    },
    at: row.created_at,
  }))
}

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

interface QueuedRow {
  readonly tenant: string
  readonly id: string
  readonly client_name: string
  readonly model: string
  readonly instructions: string | null
  readonly settings: string | null
  readonly input: string
  readonly input_tokens: number
  readonly input_counted: number
  readonly created_at: number
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
