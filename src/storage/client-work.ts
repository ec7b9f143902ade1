import { randomUUID } from 'node:crypto'
import type { Client, ClientPage } from '../conversation/client.ts'
import { countThatFit } from '../conversation/context/context-window.ts'
import type { ConversationKey } from '../conversation/conversation.ts'
import { type ErrorCode, invalid } from '../conversation/errors.ts'
import { newId } from '../conversation/ids.ts'
import { patchSettings, type Settings, type SettingsPatch } from '../conversation/settings.ts'
import type { Store } from '../conversation/store.ts'
import { lastActive, type StateRow, stateColumns, toState } from './conversation-row.ts'
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
     ON CONFLICT (tenant, client_name) DO UPDATE SET updated_at = ${lastActive('excluded.updated_at')} RETURNING ${clientColumns}`,
    ...[tenant, newId('conv', at), name, at, at],
  )
  if (known === undefined) throw new Error('an upsert returned no row')
  const { model, retention_days, ...others } = patchSettings(toClient(tenant, known).settings, patch)
  const changed = {
    model: model ?? null,
    retention_days: retention_days ?? null,
    settings: JSON.stringify(others),
    // No chain has this mark; being new, it tells a turn that runs that the choice was made after it began.
    served_by: 'model' in patch || 'fallback' in patch ? randomUUID() : known.served_by,
  }
  yield* run(
    'UPDATE conversations SET model = ?, retention_days = ?, settings = ?, served_by = ? WHERE tenant = ? AND id = ?',
    ...[changed.model, changed.retention_days, changed.settings, changed.served_by, tenant, known.id],
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

/** How much of settings a page may hold; instructions can be long. */
const pageBytes = 4 * 1024 * 1024

/** The place after which a page begins: where the last one ended, and the name there. */
const cursorOf = ({ activeAt, name }: Client): string =>
  Buffer.from(JSON.stringify([activeAt, name])).toString('base64url')

export function* clients(
  tenant: string,
  { prefix, limit, cursor, only }: Parameters<Store['clients']>[1],
): Work<ClientPage> {
  const conditions = ['tenant = ?', 'client_name IS NOT NULL']
  const values: Value[] = [tenant]
  if (cursor !== undefined) {
    const [at, name] = readCursor(cursor)
    conditions.push('(updated_at < ? OR (updated_at = ? AND client_name < ?))')
    values.push(at, at, name)
  }
  if (only !== undefined) {
    conditions.push('client_name = ?')
    values.push(only)
  }
  if (prefix !== '') {
    conditions.push('substr(client_name, 1, ?) = ?')
    values.push([...prefix].length, prefix)
  }
  const found = `FROM conversations WHERE ${conditions.join(' AND ')} ORDER BY updated_at DESC, client_name DESC LIMIT ?`
  const sizes = yield* all<{ size: number }>(
    `SELECT coalesce(octet_length(settings), 0) AS size ${found}`,
    ...[...values, limit + 1],
  )
  const fitting = countThatFit(
    pageBytes,
    sizes.map(({ size }) => [size]),
  )
  const count = Math.min(limit, Math.max(1, fitting))
  const rows = yield* all<ClientRow>(`SELECT ${clientColumns} ${found}`, ...[...values, count])
  const page = rows.map((row) => toClient(tenant, row))
  const last = page.at(-1)
  return { clients: page, next: sizes.length > count && last !== undefined ? cursorOf(last) : undefined }
}

export const clientColumns = `${stateColumns}, client_name, model, retention_days, settings, input_tokens, output_tokens, created_at,
  updated_at, compaction_error`

export interface ClientRow extends StateRow {
  readonly client_name: string
  readonly model: string | null
  readonly retention_days: number | null
  readonly settings: string | null
  readonly input_tokens: number
  readonly output_tokens: number
  readonly created_at: number
  readonly updated_at: number
  readonly compaction_error: ErrorCode | null
}

export const toClient = (tenant: string, row: ClientRow): Client => ({
  name: row.client_name,
  state: toState(tenant, row),
  settings: {
    ...(row.model !== null && { model: row.model }),
    ...(row.retention_days !== null && { retention_days: row.retention_days }),
    ...(JSON.parse(row.settings ?? '{}') as Settings),
  },
  inputTokens: row.input_tokens,
  outputTokens: row.output_tokens,
  createdAt: row.created_at,
  activeAt: row.updated_at,
  compactionError: row.compaction_error ?? undefined,
})

const isTime = (value: unknown): value is number => typeof value === 'number' && Number.isSafeInteger(value)

function readCursor(cursor: string): [at: number, name: string] {
  try {
    const [at, name]: unknown[] = JSON.parse(Buffer.from(cursor, 'base64url').toString())
    if (isTime(at) && typeof name === 'string' && !name.includes('\0') && name.isWellFormed())
      return [at, name]
  } catch {
    // Said below.
  }
  throw invalid("'cursor' is none of this server's. Send the 'next' of the page before, or leave it out.")
}
