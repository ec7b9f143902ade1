import { DaehwaError } from '../conversation/errors.ts'
import type { Progress, RunningTry, TakenTurn, WatchedTurn } from '../conversation/instance-store.ts'
import type { Settings } from '../conversation/settings.ts'
import { all, first, lock, run, type Work } from './database.ts'
import type { Dialect } from './dialects.ts'
import { before } from './statuses.ts'
import { ofTurn } from './turn-work.ts'

/** What has not ended. Written as the indexes write it, which SQLite compares word for word. */
const open = `status IN (${before('cancel')})`
/** Whose owner is dead. A row that its owner holds locked says what it said before: nobody waits for one who hangs. */
const orphanedBy = (now: string) =>
  `(owner IS NULL OR owner NOT IN (SELECT id FROM instances WHERE lease_until > ${now}))`
/** For so long a dead instance stays in its table, in milliseconds. */
const remembered = 24 * 60 * 60 * 1000
/** For so long a turn counts as followed from elsewhere, in milliseconds. */
const followedFor = 6_000

export function* join({ now }: Dialect, instance: string, lease: number): Work<void> {
  yield* run(`DELETE FROM instances WHERE lease_until < ${now} - ?`, remembered)
  yield* run(
    `INSERT INTO instances (id, lease_until) VALUES (?, ${now} + ?)
     ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until`,
    ...[instance, lease],
  )
}

export function* renew({ now }: Dialect, instance: string, lease: number): Work<boolean> {
  const row = yield* first<{ id: string }>(
    `UPDATE instances SET lease_until = ${now} + ? WHERE id = ? AND lease_until > ${now} RETURNING id`,
    ...[lease, instance],
  )
  return row !== undefined
}

export function* leave(instance: string): Work<void> {
  yield* run('DELETE FROM instances WHERE id = ?', instance)
}

/** What nobody but the dead could have left behind: whoever has the database alone begins with this. */
export function* forgetOthers(): Work<void> {
  yield* run('DELETE FROM instances')
  yield* run('UPDATE conversations SET compacting_until = NULL WHERE compacting_until IS NOT NULL')
}

/**
 * Several may do this at once: whoever has a conversation locked has its turns, and every statement asks again whether a
 * turn is still an orphan. A conversation that is locked now, perhaps by one who hangs, is left for the next look.
 */
export function* takeOver({ now, lockFree }: Dialect, instance: string, at: number): Work<TakenTurn[]> {
  const orphaned = orphanedBy(now)
  const orphans = yield* all<Orphan>(
    `SELECT t.tenant, t.conversation, t.id, t.status FROM turns t
     JOIN conversations c ON c.tenant = t.tenant AND c.id = t.conversation
     WHERE t.${open} AND ${orphaned} ORDER BY t.tenant, t.conversation ${lockFree}`,
  )
  if (orphans.length === 0) return []
  const { code, message } = DaehwaError.of('server_restarted')
  for (const { tenant, conversation, id, status } of orphans) {
    if (status === 'queued') {
      yield* run(
        `UPDATE turns SET owner = ? WHERE tenant = ? AND id = ? AND status = 'queued' AND ${orphaned}`,
        ...[instance, tenant, id],
      )
      continue
    }
    yield* run(
      `UPDATE turns SET status = 'failed', error_code = ?, error_message = ?, output = '', pieces = '',
         reasoning = NULL, ended_at = ?, input = NULL, instructions = NULL, settings = NULL
       WHERE tenant = ? AND id = ? AND status = 'in_progress' AND ${orphaned}`,
      ...[code, message, at, tenant, id],
    )
    yield* run(
      `UPDATE conversations SET active_turn = NULL, fence = fence + 1 WHERE tenant = ? AND id = ? AND active_turn = ?
         AND EXISTS (SELECT 1 FROM turns WHERE tenant = ? AND id = ? AND status = 'failed')`,
      ...[tenant, conversation, id, tenant, id],
    )
  }
  const taken = yield* all<QueuedRow>(
    `SELECT t.tenant, t.id, t.owner, t.place, c.client_name, t.model, t.instructions, t.settings, t.input, t.input_tokens,
       t.input_counted, t.created_at, t.key_id
     FROM turns t JOIN conversations c ON c.tenant = t.tenant AND c.id = t.conversation
     WHERE t.owner = ? AND t.${open} AND t.status = 'queued' ORDER BY t.place`,
    instance,
  )
  const wereOrphans = new Set(orphans.map(({ id }) => id))
  return taken.filter(({ id }) => wereOrphans.has(id)).map(toTaken)
}

export function* unended({ now }: Dialect, instance: string): Work<WatchedTurn[]> {
  const rows = yield* all<{ tenant: string; id: string; cancelled: number; followed: number }>(
    `SELECT tenant, id, cancel_requested AS cancelled, CASE WHEN followed_until > ${now} THEN 1 ELSE 0 END AS followed
     FROM turns WHERE owner = ? AND ${open}`,
    instance,
  )
  return rows.map(({ tenant, id, cancelled, followed }) => ({
    ...{ tenant, id },
    ...{ cancelled: cancelled === 1, followed: followed === 1 },
  }))
}

export function* disown(instance: string, turns: readonly WatchedTurn[]): Work<void> {
  for (const { tenant, id } of turns) {
    yield* lock(ofTurn, tenant, tenant, id)
    yield* run(
      `UPDATE turns SET owner = NULL WHERE tenant = ? AND id = ? AND owner = ? AND ${open}`,
      ...[tenant, id, instance],
    )
  }
}

/** Like the next one it writes one row and locks no other, so that nobody waits in a circle. */
export function* markFollowed({ now }: Dialect, tenant: string, turnId: string): Work<void> {
  yield* run(
    `UPDATE turns SET followed_until = ${now} + ? WHERE tenant = ? AND id = ? AND ${open}`,
    ...[followedFor, tenant, turnId],
  )
}

export function* keepProgress(
  { tenant, id, createdAt, owner }: RunningTry,
  { text, pieces, reasoning }: Progress,
): Work<void> {
  yield* run(
    `UPDATE turns SET output = ?, pieces = ?, reasoning = ?
     WHERE tenant = ? AND id = ? AND created_at = ? AND owner = ? AND status = 'in_progress'`,
    ...[text, pieces.join(','), reasoning || null, tenant, id, createdAt, owner],
  )
}

export function* requestCancel(tenant: string, turnId: string, at: number): Work<void> {
  yield* lock(ofTurn, tenant, tenant, turnId)
  const { code, message } = DaehwaError.of('turn_cancelled')
  yield* run(
    `UPDATE turns SET status = 'cancelled', error_code = ?, error_message = ?, output = '', pieces = '', ended_at = ?,
       input = NULL, instructions = NULL, settings = NULL
     WHERE tenant = ? AND id = ? AND status = 'queued'`,
    ...[code, message, at, tenant, turnId],
  )
  yield* run(
    "UPDATE turns SET cancel_requested = 1 WHERE tenant = ? AND id = ? AND status = 'in_progress'",
    ...[tenant, turnId],
  )
}

interface Orphan {
  readonly tenant: string
  readonly conversation: string
  readonly id: string
  readonly status: 'queued' | 'in_progress'
}

interface QueuedRow {
  readonly tenant: string
  readonly id: string
  readonly owner: string
  readonly place: string
  readonly client_name: string
  readonly model: string
  readonly instructions: string | null
  readonly settings: string | null
  readonly input: string
  readonly input_tokens: number
  readonly input_counted: number
  readonly created_at: number
  readonly key_id: string | null
}

const toTaken = (row: QueuedRow): TakenTurn => ({
  id: row.id,
  owner: row.owner,
  place: row.place,
  key: { tenant: row.tenant, client: row.client_name },
  input: { json: row.input, tokens: row.input_tokens, counted: row.input_counted === 1 },
  model: row.model,
  settings: {
    ...(JSON.parse(row.settings ?? '{}') as Settings),
    ...(row.instructions !== null && { instructions: row.instructions }),
  },
  at: row.created_at,
  apiKey: row.key_id ?? undefined,
})
