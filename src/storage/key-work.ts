import type { ApiKey } from '../conversation/access/key-store.ts'
import type { KeyLimits } from '../conversation/access/limits.ts'
import { all, first, locked, run, type Work } from './database.ts'

const columns = 'id, tenant, client_name, hint, created_at, expires_at, revoked_at, limits'

export function* addKey(key: ApiKey, digest: string): Work<void> {
  yield* run(
    `INSERT INTO api_keys (${columns}, digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ...[key.id, key.tenant, key.client ?? null, key.hint, key.createdAt],
    ...[key.expiresAt ?? null, key.revokedAt ?? null, JSON.stringify(key.limits), digest],
  )
}

export function* keyByDigest(digest: string): Work<ApiKey | undefined> {
  const row = yield* first<KeyRow>(`SELECT ${columns} FROM api_keys WHERE digest = ?`, digest)
  return row && toKey(row)
}

/** How many are read by one statement, which is the same however many are asked for. */
const atOnce = 100

export function* keysWithIds(ids: readonly string[]): Work<ApiKey[]> {
  const places = Array(atOnce).fill('?').join(', ')
  const found: ApiKey[] = []
  for (let at = 0; at < ids.length; at += atOnce) {
    const some = Array.from({ length: atOnce }, (_, n) => ids[at + n] ?? '')
    const rows = yield* all<KeyRow>(`SELECT ${columns} FROM api_keys WHERE id IN (${places})`, ...some)
    found.push(...rows.map(toKey))
  }
  return found
}

export function* keys(tenant: string | undefined): Work<ApiKey[]> {
  const rows = yield* all<KeyRow>(
    `SELECT ${columns} FROM api_keys WHERE tenant = coalesce(?, tenant) ORDER BY id DESC`,
    tenant ?? null,
  )
  return rows.map(toKey)
}

export function* limitKey(id: string, change: (limits: KeyLimits) => KeyLimits): Work<ApiKey | undefined> {
  const known = yield* locked<KeyRow>(`SELECT ${columns} FROM api_keys WHERE id = ?`, id)
  if (known === undefined) return undefined
  const key = toKey(known)
  const limits = change(key.limits)
  yield* run('UPDATE api_keys SET limits = ? WHERE id = ?', JSON.stringify(limits), id)
  return { ...key, limits }
}

export function* revokeKey(id: string, at: number): Work<ApiKey | undefined> {
  const row = yield* first<KeyRow>(
    `UPDATE api_keys SET revoked_at = coalesce(revoked_at, ?) WHERE id = ? RETURNING ${columns}`,
    ...[at, id],
  )
  return row && toKey(row)
}

interface KeyRow {
  readonly id: string
  readonly tenant: string
  readonly client_name: string | null
  readonly hint: string
  readonly created_at: number
  readonly expires_at: number | null
  readonly revoked_at: number | null
  readonly limits: string | null
}

const toKey = (row: KeyRow): ApiKey => ({
  id: row.id,
  tenant: row.tenant,
  client: row.client_name ?? undefined,
  hint: row.hint,
  createdAt: row.created_at,
  expiresAt: row.expires_at ?? undefined,
  revokedAt: row.revoked_at ?? undefined,
  limits: JSON.parse(row.limits ?? '{}') as KeyLimits,
})
