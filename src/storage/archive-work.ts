import type { ArchivedMessage } from '../conversation/archive.ts'
import type { ConversationState } from '../conversation/client.ts'
import { countThatFit } from '../conversation/context/context-window.ts'
import type { ConversationKey, IncompleteReason } from '../conversation/conversation.ts'
import { DaehwaError } from '../conversation/errors.ts'
import { all, first, type Work } from './database.ts'

/** How much of a history is read at once: so many turns, or so many bytes at most, whichever comes first. */
const page = { turns: 256, bytes: 2 * 1024 * 1024 }

/** The messages of the turns from `from` on, as many as fit into a page, and where the next one begins. */
export function* archivePage(
  { tenant, conversation, epoch, nextSeq }: ConversationState,
  from: number,
): Work<{ messages: ArchivedMessage[]; next: number }> {
  const current = yield* first<{ epoch: number }>(
    'SELECT epoch FROM conversations WHERE tenant = ? AND id = ?',
    ...[tenant, conversation],
  )
  if (current?.epoch !== epoch) throw DaehwaError.of('history_deleted')
  const sizes = yield* all<{ size: number }>(
    `SELECT sum(octet_length(body)) AS size FROM items
     WHERE tenant = ? AND conversation = ? AND seq >= ? AND seq < ? GROUP BY seq ORDER BY seq`,
    ...[tenant, conversation, from, Math.min(nextSeq, from + page.turns)],
  )
  const fitting = countThatFit(
    page.bytes,
    sizes.map(({ size }) => [Number(size)]),
  )
  const next = from + Math.max(1, fitting)
  const rows = yield* all<ArchivedRow>(
    `SELECT i.id, i.turn_id, i.type, i.role, i.body, i.incomplete, i.pinned, i.created_at,
       coalesce(t.served_model, t.model) AS model, t.usage_input, t.usage_output, t.usage_total
     FROM items i LEFT JOIN turns t ON t.tenant = i.tenant AND t.id = i.turn_id
     WHERE i.tenant = ? AND i.conversation = ? AND i.seq >= ? AND i.seq < ? ORDER BY i.seq, i.position`,
    ...[tenant, conversation, from, next],
  )
  const thoughts = new Map<string, string>()
  for (const { type, turn_id, body } of rows)
    if (type === 'reasoning') thoughts.set(turn_id, (JSON.parse(body) as { text: string }).text)
  const messages = rows
    .filter(({ type }) => type === 'message')
    .map((row) => toMessage(row, thoughts.get(row.turn_id)))
  return { messages, next }
}

/** How many names are read at once. */
const names = 1_000

/** The clients behind `after` in the order of tenants and names; empty when there are none left. */
export function* clientKeys(
  tenant: string | undefined,
  client: string | undefined,
  after: ConversationKey | undefined,
): Work<ConversationKey[]> {
  return yield* all<ConversationKey>(
    `SELECT tenant, client_name AS client FROM conversations
     WHERE (tenant, client_name) > (?, ?) AND tenant = coalesce(?, tenant) AND client_name = coalesce(?, client_name)
     ORDER BY tenant, client_name LIMIT ?`,
    ...[after?.tenant ?? '', after?.client ?? '', tenant ?? null, client ?? null, names],
  )
}

interface ArchivedRow {
  readonly id: string
  readonly turn_id: string
  readonly type: string
  readonly role: 'user' | 'assistant'
  readonly body: string
  readonly incomplete: IncompleteReason | null
  readonly pinned: number
  readonly created_at: number
  readonly model: string | null
  readonly usage_input: number | null
  readonly usage_output: number | null
  readonly usage_total: number | null
}

function toMessage(row: ArchivedRow, reasoning: string | undefined): ArchivedMessage {
  const { usage_input: input, usage_output: output, usage_total: total } = row
  const message = {
    ...{ id: row.id, turnId: row.turn_id, role: row.role, at: row.created_at },
    content: (JSON.parse(row.body) as { content: string }).content,
    ...(row.pinned === 1 && { pinned: true as const }),
  }
  if (row.role === 'user') return message
  return {
    ...message,
    ...(row.incomplete !== null && { incomplete: row.incomplete }),
    ...(row.model !== null && { model: row.model }),
    ...(input !== null &&
      output !== null &&
      total !== null && { usage: { input_tokens: input, output_tokens: output, total_tokens: total } }),
    ...(reasoning !== undefined && { reasoning }),
  }
}
