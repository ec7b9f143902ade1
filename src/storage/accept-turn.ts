import { DaehwaError, type ErrorCode } from '../conversation/errors.ts'
import { newId } from '../conversation/ids.ts'
import type { Accepted, Claim, Idempotency, NewTurn } from '../conversation/store.ts'
import { mayRetry, type TurnStatus } from '../conversation/turn.ts'
import { lastActive, type StateRow, stateColumns, toState } from './conversation-row.ts'
import { first, run, type Work } from './database.ts'

export function* accept(turn: NewTurn, deadline: number | undefined): Work<Accepted> {
  const { key, idempotency, at } = turn
  const known = idempotency && (yield* keyed(key.tenant, idempotency, at))
  if (known !== undefined && !mayRetry(known.status, known.error_code ?? undefined)) {
    return { existing: true, turnId: known.id }
  }
  const id = known?.id ?? turn.id
  const kept = { ...turn, id }
  const conversation = yield* openConversation(kept, deadline !== undefined)
  if ((turn.conversation ?? conversation.id) !== conversation.id) throw DaehwaError.of('history_deleted')
  // Should another one have taken the key since it was looked up, these leave its turn alone and the insert finds it.
  if (known !== undefined) {
    yield* run(
      "DELETE FROM turns WHERE tenant = ? AND id = ? AND status = ? AND coalesce(error_code, '') = ?",
      ...[key.tenant, id, known.status, known.error_code ?? ''],
    )
  } else if (idempotency !== undefined) {
    yield* run(
      'UPDATE turns SET idempotency_key = NULL WHERE tenant = ? AND idempotency_key = ? AND created_at < ?',
      ...[key.tenant, idempotency.key, at - keyLifetime],
    )
  }
  yield* insertTurn(kept, turn.id, conversation, deadline)
  const claim = deadline === undefined ? undefined : toClaim(key.tenant, id, conversation)
  return { existing: false, turnId: id, claim }
}

export function* knownTurn(tenant: string, idempotency: Idempotency, at: number): Work<string | undefined> {
  const row = yield* keyed(tenant, idempotency, at)
  return row === undefined || mayRetry(row.status, row.error_code ?? undefined) ? undefined : row.id
}

/** How long an idempotency key stands for the turn that it made, in milliseconds. */
const keyLifetime = 24 * 60 * 60 * 1000

/** The turn of a key that still stands for one. @throws DaehwaError `idempotency_key_reused` */
function* keyed(tenant: string, { key, fingerprint }: Idempotency, at: number): Work<KeyRow | undefined> {
  const row = yield* first<KeyRow>(
    'SELECT id, fingerprint, status, error_code, created_at FROM turns WHERE tenant = ? AND idempotency_key = ?',
    ...[tenant, key],
  )
  if (row === undefined || row.created_at < at - keyLifetime) return undefined
  if (row.fingerprint !== fingerprint) throw DaehwaError.of('idempotency_key_reused')
  return row
}

function* openConversation({ key, id, at }: NewTurn, claimed: boolean): Work<Claimed> {
  const row = yield* first<Claimed>(
    claimed
      ? `INSERT INTO conversations (tenant, id, client_name, created_at, updated_at, fence, active_turn)
         VALUES (?, ?, ?, ?, ?, 1, ?)
         ON CONFLICT (tenant, client_name) DO UPDATE SET
           fence = conversations.fence + 1, active_turn = excluded.active_turn, updated_at = ${lastActive('excluded.updated_at')}
         RETURNING fence, ${stateColumns}`
      : `INSERT INTO conversations (tenant, id, client_name, created_at, updated_at) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (tenant, client_name) DO UPDATE SET updated_at = ${lastActive('excluded.updated_at')}
         RETURNING fence, ${stateColumns}`,
    ...[key.tenant, newId('conv', at), key.client, at, at, ...(claimed ? [id] : [])],
  )
  if (row === undefined) throw new Error('an upsert returned no row')
  return row
}

/** A conversation as a claim needs it. */
export interface Claimed extends StateRow {
  readonly fence: number
}

export const toClaim = (tenant: string, turnId: string, row: Claimed): Claim => ({
  ...toState(tenant, row),
  turnId,
  fence: row.fence,
})

interface KeyRow {
  readonly id: string
  readonly fingerprint: string
  readonly status: TurnStatus
  readonly error_code: ErrorCode | null
  readonly created_at: number
}

function* insertTurn(
  turn: NewTurn,
  place: string,
  conversation: Claimed,
  deadline: number | undefined,
): Work<void> {
  const { key, idempotency, at } = turn
  const { instructions, ...settings } = turn.settings
  const claimed = deadline !== undefined
  yield* run(
    `INSERT INTO turns (tenant, id, place, conversation, epoch, status, model, instructions, settings, input, input_tokens,
       input_counted, idempotency_key, fingerprint, created_at, dispatched_at, deadline_at)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ...[
      key.tenant,
      turn.id,
      place,
      conversation.id,
      conversation.epoch,
      claimed ? 'in_progress' : 'queued',
      turn.model,
    ],
    ...[
      instructions ?? null,
      JSON.stringify(settings),
      turn.input.json,
      turn.input.tokens,
      turn.input.counted ? 1 : 0,
    ],
    ...[
      idempotency?.key ?? null,
      idempotency?.fingerprint ?? null,
      at,
      claimed ? at : null,
      deadline ?? null,
    ],
  )
}
