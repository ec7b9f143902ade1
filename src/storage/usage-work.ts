import { dayOf } from '../conversation/access/limits.ts'
import type { Charge } from '../conversation/charge.ts'
import type { ConversationKey } from '../conversation/conversation.ts'
import type { Group, SummaryCharge, UsageRow, UsageWish } from '../conversation/usage.ts'
import { safeSum } from './conversation-row.ts'
import { all, first, run, type Value, type Work } from './database.ts'

/** Writes down what a turn used. It comes last in its transaction: many turns write to the row of one key. */
export function* charge(
  { key, apiKey, model, input, output, estimated, at }: Charge,
  turns: 0 | 1 = 1,
): Work<void> {
  const used = { turns, estimated: estimated ? 1 : 0, input, output }
  yield* chargeClient(key, dayOf(at), apiKey ?? '', model, used)
  if (apiKey !== undefined) yield* chargeKey(apiKey, dayOf(at), input + output)
}

interface Sum {
  readonly turns: number
  /** How many of them were counted here. */
  readonly estimated: number
  readonly input: number
  readonly output: number
}

export function* chargeClient(
  { tenant, client }: ConversationKey,
  day: number,
  apiKey: string,
  model: string,
  { turns, estimated, input, output }: Sum,
): Work<void> {
  yield* run(
    addToLedger,
    ...[tenant, client, day, apiKey, model, turns, estimated, input, output],
    ...[input, input, output, output],
  )
}

const addToLedger = `INSERT INTO usage (tenant, client_name, day, key_id, model, turns, estimated_turns, input_tokens, output_tokens)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (tenant, client_name, day, key_id, model) DO UPDATE SET turns = usage.turns + excluded.turns,
       estimated_turns = usage.estimated_turns + excluded.estimated_turns,
       input_tokens = ${safeSum('usage.input_tokens')}, output_tokens = ${safeSum('usage.output_tokens')}`

export function* chargeKey(apiKey: string, day: number, tokens: number): Work<void> {
  yield* run(addToDay, apiKey, day, tokens, tokens, tokens)
}

const addToDay = `INSERT INTO key_days (key_id, day, tokens) VALUES (?, ?, ?)
     ON CONFLICT (key_id, day) DO UPDATE SET tokens = ${safeSum('key_days.tokens')}`

/** The same, unless the turn was charged before: whoever does not know whether it was written writes it again. */
export function* chargeOnce(turnId: string, charged: Charge): Work<void> {
  const { tenant } = charged.key
  const turn = yield* first<{ charged: number }>(
    'SELECT charged FROM turns WHERE tenant = ? AND id = ?',
    ...[tenant, turnId],
  )
  if (turn?.charged === 1) return
  yield* charge(charged)
  yield* run('UPDATE turns SET charged = 1 WHERE tenant = ? AND id = ?', tenant, turnId)
}

export function* chargeSummary({ tenant, conversation, ...used }: SummaryCharge): Work<void> {
  const row = yield* first<{ client_name: string }>(
    'SELECT client_name FROM conversations WHERE tenant = ? AND id = ?',
    ...[tenant, conversation],
  )
  if (row === undefined) return
  yield* charge({ key: { tenant, client: row.client_name }, apiKey: undefined, estimated: false, ...used }, 0)
}

const columnOf: Readonly<Record<Group, string>> = {
  day: 'day',
  tenant: 'tenant',
  client_name: 'client_name',
  key: 'key_id',
  model: 'model',
}

export function* usage({ tenant, client, from, to, by, limit }: UsageWish): Work<UsageRow[]> {
  const groups = [...new Set<Group>([...by, 'model'])]
  const columns = groups.map((group) => columnOf[group]).join(', ')
  const shown = groups.map((group) => (group === 'key' ? `nullif(key_id, '') AS key` : columnOf[group]))
  const conditions = ['day >= ?', 'day <= ?']
  const values: Value[] = [from, to]
  if (tenant !== undefined) {
    conditions.push('tenant = ?')
    values.push(tenant)
  }
  if (client !== undefined) {
    conditions.push('client_name = ?')
    values.push(client)
  }
  const sums = ['turns', 'estimated_turns', 'input_tokens', 'output_tokens'].map(
    (column) => `CAST(sum(${column}) AS BIGINT) AS ${column}`,
  )
  return yield* all<UsageRow>(
    `SELECT ${[...shown, ...sums].join(', ')} FROM usage WHERE ${conditions.join(' AND ')}
     GROUP BY ${columns} ORDER BY ${columns} LIMIT ?`,
    ...[...values, limit],
  )
}
