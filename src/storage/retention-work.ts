import type { IdleClient } from '../conversation/retention.ts'
import type { Settings } from '../conversation/settings.ts'
import { all, first, type Work } from './database.ts'
import type { Dialect } from './dialects.ts'
import { before } from './statuses.ts'

const day = 24 * 60 * 60 * 1000

export function* tenantAfter(tenant: string): Work<string | undefined> {
  const row = yield* first<{ tenant: string }>(
    'SELECT tenant FROM conversations WHERE tenant > ? ORDER BY tenant LIMIT 1',
    tenant,
  )
  return row?.tenant
}

export function* idle(
  { now }: Dialect,
  tenant: string,
  days: number | undefined,
  limit: number,
): Work<IdleClient[]> {
  const found = `SELECT client_name AS client, updated_at AS "activeAt" FROM conversations
    WHERE tenant = ? AND client_name IS NOT NULL AND NOT EXISTS (SELECT 1 FROM turns t
      WHERE t.tenant = conversations.tenant AND t.conversation = conversations.id AND t.status IN (${before('cancel')}))`
  const own = yield* all<IdleClient>(
    `${found} AND retention_days IS NOT NULL AND updated_at < ${now} - retention_days * ${day} ORDER BY updated_at LIMIT ?`,
    ...[tenant, limit],
  )
  const kept = yield* first<{ settings: string }>('SELECT settings FROM tenants WHERE tenant = ?', tenant)
  const defaults = JSON.parse(kept?.settings ?? '{}') as Settings
  const longest = defaults.retention_days ?? days
  if (longest === undefined || own.length === limit) return own
  const others = yield* all<IdleClient>(
    `${found} AND retention_days IS NULL AND updated_at < ${now} - ? ORDER BY updated_at LIMIT ?`,
    ...[tenant, longest * day, limit - own.length],
  )
  return [...own, ...others]
}
