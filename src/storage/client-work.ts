import type { Client, ClientPage } from '../conversation/client.ts'
import type { ConversationKey } from '../conversation/conversation.ts'
import { type ErrorCode, invalid } from '../conversation/errors.ts'
import { newId } from '../conversation/ids.ts'
import { patchSettings, type Settings, type SettingsPatch } from '../conversation/settings.ts'
import { type StateRow, stateColumns, toState } from './conversation-row.ts'
import { all, first, run, type Value, type Work } from './database.ts'

export function* settings({
  tenant,
  client: name,
}: ConversationKey): Work<{ client: Client | undefined; defaults: Settings }> {
  const row = yield* first<(ClientRow | { id: null }) & { defaults: string | null }>(
    `SELECT (SELECT tenants.settings FROM tenants WHERE tenant = ?) AS defaults, ${clientColumns}
     FROM (SELECT 1 AS one) AS one_row LEFT JOIN conversations ON tenant = ? AND client_name = ?`,
    ...[tenant, tenant, name],
  )
  return {
    client: row === undefined || row.id === null ? undefined : toClient(tenant, row),
    defaults: JSON.parse(row?.defaults ?? '{}') as Settings,
  }
}

export function* updateClient(key: ConversationKey, patch: SettingsPatch, at: number): Work<Client> {
  const { tenant, client: name } = key
  // Made before it is read, so that it is this work's alone until it is changed.
  const known = yield* first<ClientRow>(
    `INSERT INTO conversations (tenant, id, client_name, created_at, updated_at) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (tenant, client_name) DO UPDATE SET updated_at = excluded.updated_at RETURNING ${clientColumns}`,
    ...[tenant, newId('conv', at), name, at, at],
  )
  if (known === undefined) throw new Error('an upsert returned no row')
  const { model, ...others } = patchSettings(toClient(tenant, known).settings, patch)
  const changed = {
    model: model ?? null,
    settings: JSON.stringify(others),
    served_by: 'model' in patch || 'fallback' in patch ? null : known.served_by,
  }
  yield* run(
    'UPDATE conversations SET model = ?, settings = ?, served_by = ? WHERE tenant = ? AND id = ?',
    ...[changed.model, changed.settings, changed.served_by, tenant, known.id],
  )
  return toClient(tenant, { ...known, ...changed })
}

export function* updateDefaults(tenant: string, patch: SettingsPatch, at: number): Work<Settings> {
  const known = yield* first<{ settings: string }>(
    `INSERT INTO tenants (tenant, settings, updated_at) VALUES (?, '{}', ?)
     ON CONFLICT (tenant) DO UPDATE SET updated_at = excluded.updated_at RETURNING settings`,
    ...[tenant, at],
  )
  const merged = patchSettings(JSON.parse(known?.settings ?? '{}') as Settings, patch)
  yield* run('UPDATE tenants SET settings = ? WHERE tenant = ?', JSON.stringify(merged), tenant)
  return merged
}

/** The place after which a page begins: where the last one ended, and the name there. */
const cursorOf = ({ activeAt, name }: Client): string =>
  Buffer.from(JSON.stringify([activeAt, name])).toString('base64url')

export function* clients(
  tenant: string,
  { prefix, limit, cursor }: { prefix: string; limit: number; cursor: string | undefined },
): Work<ClientPage> {
  const conditions = ['tenant = ?', 'client_name IS NOT NULL']
  const values: Value[] = [tenant]
  if (cursor !== undefined) {
    const [at, name] = readCursor(cursor)
    conditions.push('(updated_at < ? OR (updated_at = ? AND client_name < ?))')
    values.push(at, at, name)
  }
  if (prefix !== '') {
    conditions.push('substr(client_name, 1, ?) = ?')
    values.push([...prefix].length, prefix)
  }
  const rows = yield* all<ClientRow>(
    `SELECT ${clientColumns} FROM conversations WHERE ${conditions.join(' AND ')}
     ORDER BY updated_at DESC, client_name DESC LIMIT ?`,
    ...[...values, limit + 1],
  )
  const page = rows.slice(0, limit).map((row) => toClient(tenant, row))
  const last = page.at(-1)
  return { clients: page, next: rows.length > limit && last !== undefined ? cursorOf(last) : undefined }
}

export function* forget({ tenant, client: name }: ConversationKey): Work<void> {
  yield* run('DELETE FROM conversations WHERE tenant = ? AND client_name = ?', tenant, name)
}

const clientColumns = `${stateColumns}, client_name, model, settings, input_tokens, output_tokens, created_at,
  updated_at, compaction_error`

interface ClientRow extends StateRow {
  readonly client_name: string
  readonly model: string | null
  readonly settings: string | null
  readonly input_tokens: number
  readonly output_tokens: number
  readonly created_at: number
  readonly updated_at: number
  readonly compaction_error: ErrorCode | null
}

const toClient = (tenant: string, row: ClientRow): Client => ({
  name: row.client_name,
  state: toState(tenant, row),
  settings: {
    ...(row.model !== null && { model: row.model }),
    ...(JSON.parse(row.settings ?? '{}') as Settings),
  },
  inputTokens: row.input_tokens,
  outputTokens: row.output_tokens,
  createdAt: row.created_at,
  activeAt: row.updated_at,
  compactionError: row.compaction_error ?? undefined,
})

function readCursor(cursor: string): [at: number, name: string] {
  try {
    const [at, name]: unknown[] = JSON.parse(Buffer.from(cursor, 'base64url').toString())
    if (
      typeof at === 'number' &&
      Number.isSafeInteger(at) &&
      typeof name === 'string' &&
      !name.includes('\0')
    )
      return [at, name]
  } catch {
    // Said below.
  }
  throw invalid("'cursor' is none of this server's. Send the 'next' of the page before, or leave it out.")
}
