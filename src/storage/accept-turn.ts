import { DaehwaError, type ErrorCode } from '../conversation/errors.ts'
import { newId } from '../conversation/ids.ts'
import type { Accepted, Claim, Idempotency, Line, NewTurn } from '../conversation/store.ts'
import { mayRetry, type TurnStatus } from '../conversation/turn.ts'
import { lastActive, type StateRow, stateColumns, toState } from './conversation-row.ts'
import { first, run, type Work } from './database.ts'
import { type Figures, figuresOf, reserve } from './limit-work.ts'
import { before } from './statuses.ts'

/** `beside` adds what is not in the tables yet to what they say of limits. */
export function* accept(
  turn: NewTurn,
  deadline: number | undefined,
  { maxWaiting = Number.POSITIVE_INFINITY, interrupt = false }: Line = {},
  beside: (figures: Figures) => Figures = (figures) => figures,
): Work<Accepted> {
  const { key, idempotency, at } = turn
  const known = idempotency && (yield* keyed(key.tenant, idempotency, at))
  if (known !== undefined && !mayRetry(known.status, known.error_code ?? undefined)) {
    return { existing: true, turnId: known.id }
  }
  const id = known?.id ?? turn.id
  const kept = { ...turn, id }
  const conversation = yield* openConversation(kept, deadline !== undefined, interrupt)
  const claimed = conversation.active_turn === id
  if ((turn.conversation ?? conversation.id) !== conversation.id) throw DaehwaError.of('history_deleted')
  if (!claimed && maxWaiting < Number.POSITIVE_INFINITY)
    yield* checkRoom(key.tenant, conversation.id, maxWaiting)
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
  const place = placeOf(conversation.places, interrupt)
  const reserved = yield* reserve(kept, beside(figuresOf(key, conversation)))
  yield* insertTurn(kept, place, conversation, claimed ? deadline : undefined, reserved)
  if (claimed) return { existing: false, turnId: id, place, claim: toClaim(key.tenant, id, conversation) }
  const running = interrupt ? (conversation.active_turn ?? undefined) : undefined
  if (running !== undefined) {
    yield* run(
      "UPDATE turns SET cancel_requested = 1 WHERE tenant = ? AND id = ? AND status = 'in_progress'",
      ...[key.tenant, running],
    )
  }
  return { existing: false, turnId: id, place, claim: undefined, running }
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

/** Those that wait already count over all instances. @throws DaehwaError `conversation_busy` */
function* checkRoom(tenant: string, conversation: string, maxWaiting: number): Work<void> {
  const row = yield* first<{ count: number }>(
    `SELECT count(*) AS count FROM turns
     WHERE tenant = ? AND conversation = ? AND status IN (${before('cancel')}) AND status = 'queued'`,
    ...[tenant, conversation],
  )
  const waiting = row?.count ?? 0
  if (waiting >= maxWaiting) throw DaehwaError.of('conversation_busy', { waiting }).after(5)
}

/** The place of a turn in its conversation: the last one, or with `next` the one before all that wait. */
export const placeOf = (count: number, next: boolean): string =>
  next
    ? `next_${String(Number.MAX_SAFE_INTEGER - count).padStart(16, '0')}`
    : `turn_${String(count).padStart(16, '0')}`

/**
 * Whether a new turn may run at once, for its owner (`?`): nothing runs but what is its owner's, who looks after the
 * order of that by itself, and nothing waits. Whoever had to wait for the row sees its newest version beside turns as they
 * were before that; then its count of places has grown, and the turn waits until it is looked at again.
 */
const free = (interrupt: boolean) => `conversations.places = (SELECT c.places FROM conversations c
    WHERE c.tenant = conversations.tenant AND c.id = conversations.id)
  AND NOT EXISTS (SELECT 1 FROM turns r
    WHERE r.tenant = conversations.tenant AND r.id = conversations.active_turn AND (r.owner IS NULL OR r.owner <> ?))
  ${
    interrupt
      ? ''
      : `AND NOT EXISTS (SELECT 1 FROM turns q WHERE coalesce(q.tenant, '') = conversations.tenant
    AND q.conversation = conversations.id AND q.status IN (${before('cancel')}) AND q.status = 'queued')`
  }`

/** Makes the conversation, or counts one place more; with `claims` the turn has it at once, if it may. */
function* openConversation(turn: NewTurn, claims: boolean, interrupt: boolean): Work<Opened> {
  const { key, id, at, owner } = turn
  const time = `updated_at = ${lastActive('excluded.updated_at')}`
  const row = yield* first<Opened>(
    claims
      ? `INSERT INTO conversations (tenant, id, client_name, created_at, updated_at, places, fence, active_turn)
         VALUES (?, ?, ?, ?, ?, 1, 1, ?)
         ON CONFLICT (tenant, client_name) DO UPDATE SET places = conversations.places + 1, ${time},
           fence = conversations.fence + CASE WHEN ${free(interrupt)} THEN 1 ELSE 0 END,
           active_turn = CASE WHEN ${free(interrupt)} THEN excluded.active_turn ELSE conversations.active_turn END
         RETURNING fence, active_turn, places, ${stateColumns}`
      : `INSERT INTO conversations (tenant, id, client_name, created_at, updated_at, places) VALUES (?, ?, ?, ?, ?, 1)
         ON CONFLICT (tenant, client_name) DO UPDATE SET places = conversations.places + 1, ${time}
         RETURNING fence, active_turn, places, ${stateColumns}`,
    ...[key.tenant, newId('conv', at), key.client, at, at, ...(claims ? [id, owner, owner] : [])],
  )
  if (row === undefined) throw new Error('an upsert returned no row')
  return row
}

/** A conversation as a claim needs it. */
export interface Claimed extends StateRow {
  readonly fence: number
}

interface Opened extends Claimed {
  readonly active_turn: string | null
  readonly places: number
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

export function* insertTurn(
  turn: NewTurn,
  place: string,
  conversation: Pick<Claimed, 'id' | 'epoch'>,
  deadline: number | undefined,
  reserved: number,
): Work<void> {
  const { key, idempotency, at } = turn
  const { instructions, ...settings } = turn.settings
  const claimed = deadline !== undefined
  yield* run(
    `INSERT INTO turns (tenant, id, place, owner, conversation, epoch, status, model, instructions, settings, input,
       input_tokens, input_counted, idempotency_key, fingerprint, created_at, dispatched_at, deadline_at, key_id, reserved)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ...[
      key.tenant,
      turn.id,
      place,
      turn.owner,
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
      turn.apiKey ?? null,
      reserved,
    ],
  )
}
