import { dayOf, firstDayOfMonth, tokensToReserve, untilNext } from '../conversation/access/limits.ts'
import type { ConversationKey } from '../conversation/conversation.ts'
import { DaehwaError } from '../conversation/errors.ts'
import type { NewTurn } from '../conversation/store.ts'
import { first, lock, type Work } from './database.ts'
import { before } from './statuses.ts'

/** A conversation whose next turn is to be accepted. */
interface Place {
  readonly id: string
  readonly next_seq: number
}

/** What is looked up for a turn before it may be accepted; each only where a limit asks for it. In tokens, but for `turns`. */
export interface Figures {
  /** What has not ended of the turns of a key, and what they hold. */
  open(apiKey: string): Work<Open>
  used(apiKey: string, at: number): Work<Used>
  lastTurn(): Work<number>
  /** What the client has used that day, and what its turns hold, with whichever keys they came. */
  ofClient(at: number): Work<number>
}

export interface Open {
  readonly turns: number
  readonly tokens: number
}

export interface Used {
  readonly day: number
  readonly month: number
}

/** As the tables say. What open turns hold is looked up with the key's row locked, so that turns that come at once do not all find the same room. */
export const figuresOf = ({ tenant, client }: ConversationKey, conversation: Place): Figures => ({
  open: openTurns,
  used: tokensUsed,
  lastTurn: () => tokensOfLastTurn(tenant, conversation),
  *ofClient(at) {
    return (yield* tokensOfClient(tenant, client, at)) + (yield* reservedIn(tenant, conversation))
  },
})

/**
 * What a turn holds of the budgets of its key until it ends, in tokens.
 *
 * @throws DaehwaError `rate_limited`, `quota_exceeded`
 */
export function* reserve(turn: NewTurn, figures: Figures): Work<number> {
  const { apiKey, limits = {}, at } = turn
  const { turns_at_once, tokens_per_day, tokens_per_month, client_tokens_per_day } = limits
  const budgets = [tokens_per_day, tokens_per_month, client_tokens_per_day]
  const hasBudget = budgets.some((limit) => limit !== undefined)
  if (apiKey === undefined || (turns_at_once === undefined && !hasBudget)) return 0
  const open = yield* figures.open(apiKey)
  if (turns_at_once !== undefined && open.turns >= turns_at_once)
    throw DaehwaError.of('rate_limited', { what: 'messages at once', limit: turns_at_once }).after(1)
  if (!hasBudget) return 0
  const { instructions, max_output_tokens: longestAnswer } = turn.settings
  const lastTurn = yield* figures.lastTurn()
  const needed = tokensToReserve({ lastTurn, instructions, input: turn.input.tokens, longestAnswer })
  const used = yield* figures.used(apiKey, at)
  check(tokens_per_day, used.day + open.tokens, needed, 'This key', 'day', at)
  check(tokens_per_month, used.month + open.tokens, needed, 'This key', 'month', at)
  if (client_tokens_per_day !== undefined) {
    check(
      client_tokens_per_day,
      yield* figures.ofClient(at),
      needed,
      'A client that uses this key',
      'day',
      at,
    )
  }
  return needed
}

function check(
  limit: number | undefined,
  used: number,
  needed: number,
  whose: string,
  span: 'day' | 'month',
  at: number,
): void {
  if (limit === undefined || used + needed <= limit) return
  throw DaehwaError.of('quota_exceeded', { whose, limit, span, used, needed }).after(untilNext[span](at))
}

function* openTurns(apiKey: string): Work<Open> {
  yield* lock('SELECT id FROM api_keys WHERE id = ?', apiKey)
  const row = yield* first<Open>(
    `SELECT count(*) AS turns, CAST(coalesce(sum(reserved), 0) AS BIGINT) AS tokens
     FROM turns WHERE key_id = ? AND status IN (${before('cancel')})`,
    apiKey,
  )
  return row ?? { turns: 0, tokens: 0 }
}

function* reservedIn(tenant: string, { id }: Place): Work<number> {
  const row = yield* first<{ tokens: number }>(
    `SELECT CAST(coalesce(sum(reserved), 0) AS BIGINT) AS tokens
     FROM turns WHERE tenant = ? AND conversation = ? AND status IN (${before('cancel')})`,
    ...[tenant, id],
  )
  return row?.tokens ?? 0
}

/** All that went to the model and came back last time, which goes there again: as it was told, or else as it was charged. */
function* tokensOfLastTurn(tenant: string, { id, next_seq }: Place): Work<number> {
  const row = yield* first<{ tokens: number }>(
    `SELECT coalesce(t.usage_total, t.reserved) AS tokens FROM items i JOIN turns t ON t.tenant = i.tenant AND t.id = i.turn_id
     WHERE i.tenant = ? AND i.conversation = ? AND i.seq = ? AND i.position = 0`,
    ...[tenant, id, next_seq - 1],
  )
  return row?.tokens ?? 0
}

function* tokensUsed(apiKey: string, at: number): Work<Used> {
  const row = yield* first<Used>(
    `SELECT CAST(coalesce(sum(CASE WHEN day = ? THEN tokens ELSE 0 END), 0) AS BIGINT) AS day,
       CAST(coalesce(sum(CASE WHEN day >= ? THEN tokens ELSE 0 END), 0) AS BIGINT) AS month
     FROM key_days WHERE key_id = ? AND day >= ?`,
    ...[dayOf(at), firstDayOfMonth(at), apiKey, firstDayOfMonth(at)],
  )
  return row ?? { day: 0, month: 0 }
}

function* tokensOfClient(tenant: string, client: string, at: number): Work<number> {
  const row = yield* first<{ tokens: number }>(
    `SELECT CAST(coalesce(sum(input_tokens + output_tokens), 0) AS BIGINT) AS tokens FROM usage
     WHERE tenant = ? AND client_name = ? AND day = ?`,
    ...[tenant, client, dayOf(at)],
  )
  return row?.tokens ?? 0
}
