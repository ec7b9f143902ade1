import { randomUUID } from 'node:crypto'
import type { Client, ClientPage } from '../conversation/client.ts'
import { countThatFit } from '../conversation/context/context-window.ts'
import type { ConversationKey } from '../conversation/conversation.ts'
import { type ErrorCode, invalid } from '../conversation/errors.ts'
import { newId } from '../conversation/ids.ts'
import { patchSettings, type Settings, type SettingsPatch } from '../conversation/settings.ts'
import { lastActive, type StateRow, stateColumns, toState } from './conversation-row.ts'
import { all, first, type Value, type Work } from './database.ts'

export function* settings(key: ConversationKey): Work<{ client: Client | undefined; defaults: Settings }> {
  return { client: yield* client(key), defaults: yield* defaults(key.tenant) }
}

export function* updateClient(key: ConversationKey, patch: SettingsPatch, at: number): Work<Client> {
  const { tenant, client: name } = key
  const known = yield* client(key)
  const { model, ...others } = patchSettings(known?.settings ?? {}, patch)
  // No chain has this mark; being new, it tells a turn that runs that the choice was made after it began.
  const chosen = 'model' in patch || 'fallback' in patch ? randomUUID() : null
  yield* all(
    `INSERT INTO conversations (tenant, id, client_name, model, settings, created_at, updated_at)
     VALUES (?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (tenant, client_name) DO UPDATE SET
       model = excluded.model, settings = excluded.settings, updated_at = ${lastActive('excluded.updated_at')},
       served_by = coalesce(?, conversations.served_by)`,
    ...[tenant, newId('conv', at), name, model ?? null, JSON.stringify(others), at, at, chosen],
  )
  const updated = yield* client(key)
  if (updated === undefined) throw new Error('an upsert left no row')
  return updated
}

export function* updateDefaults(tenant: string, patch: SettingsPatch, at: number): Work<Settings> {
  const merged = patchSettings(yield* defaults(tenant), patch)
  yield* all(
    `INSERT INTO tenants (tenant, settings, updated_at) VALUES (?, ?, ?)
     ON CONFLICT (tenant) DO UPDATE SET settings = excluded.settings, updated_at = excluded.updated_at`,
    ...[tenant, JSON.stringify(merged), at],
  )
  return merged
}

/** How much of settings a page may hold; instructions can be long. */
const pageBytes = 4 * 1024 * 1024

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

function* client({ tenant, client: name }: ConversationKey): Work<Client | undefined> {
  const row = yield* first<ClientRow>(
    `SELECT ${clientColumns} FROM conversations WHERE tenant = ? AND client_name = ?`,
    ...[tenant, name],
  )
  return row && toClient(tenant, row)
}

function* defaults(tenant: string): Work<Settings> {
  const row = yield* first<{ settings: string }>('SELECT settings FROM tenants WHERE tenant = ?', tenant)
  return row === undefined ? {} : (JSON.parse(row.settings) as Settings)
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
