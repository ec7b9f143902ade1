import { dayOf } from '../../conversation/access/limits.ts'
import type { Client, ConversationState } from '../../conversation/client.ts'
import type { ConversationKey } from '../../conversation/conversation.ts'
import { type ClientRow, clientColumns, toClient } from '../client-work.ts'
import { first, type Work } from '../database.ts'
import { before } from '../statuses.ts'
import { type Accepted, type Answered, type JournaledTurn, tokensOf } from './records.ts'

/** How many conversations are remembered. */
const remembered = 10_000

/**
 * A conversation as it is after all that the journal has of it: nothing else changes it while it is here. What is not in the
 * tables yet is `tail`, its newest turns, and `open`, the one that is being answered.
 */
export interface Head {
  readonly key: ConversationKey
  client: Client
  fence: number
  places: number
  open: Accepted | undefined
  tail: JournaledTurn[]
  /** What its last turn took, and what was charged on `day`, in tokens; undefined until somebody asks. */
  lastTurn: number | undefined
  charged: { readonly day: number; readonly tokens: number } | undefined
}

export const stateOf = ({ client }: Head): ConversationState => client.state

const isUnsettled = ({ open, tail }: Head): boolean => open !== undefined || tail.length > 0

export function accepted(head: Head, record: Accepted): void {
  head.fence = record.fence
  head.places = record.places
  head.open = record
  if (record.at > head.client.activeAt) head.client = { ...head.client, activeAt: record.at }
}

export function answered(head: Head, open: Accepted, record: Answered): void {
  const { client, charged } = head
  const { usage, charge, servedBy = client.state.servedBy } = record
  head.open = undefined
  head.tail.push({ accepted: open, answered: record })
  head.client = {
    ...client,
    state: { ...client.state, nextSeq: record.seq + 1, servedBy },
    inputTokens: safe(client.inputTokens + (usage?.input_tokens ?? 0)),
    outputTokens: safe(client.outputTokens + (usage?.output_tokens ?? 0)),
    activeAt: Math.max(client.activeAt, record.at),
  }
  head.lastTurn = usage?.total_tokens ?? tokensOf(record)
  if (charge !== undefined && charged?.day === dayOf(charge.at))
    head.charged = { day: charged.day, tokens: charged.tokens + tokensOf(record) }
}

const safe = (tokens: number): number => Math.min(tokens, Number.MAX_SAFE_INTEGER)

/** Conversations in memory, by name, by id, and by the ids of the turns that no table has. */
export class Heads {
  readonly #byName = new Map<string, Head>()
  readonly #byId = new Map<string, Head>()
  readonly #byTurn = new Map<string, Head>()

  named({ tenant, client }: ConversationKey): Head | undefined {
    return this.#byName.get(nameOf(tenant, client))
  }

  withId(conversation: string): Head | undefined {
    return this.#byId.get(conversation)
  }

  ofTurn(id: string): Head | undefined {
    return this.#byTurn.get(id)
  }

  /** From memory, or from the tables; undefined where there is no such client, or one of whom a turn has not ended. */
  *load(key: ConversationKey): Work<Head | undefined> {
    const name = nameOf(key.tenant, key.client)
    const known = this.#byName.get(name)
    if (known !== undefined) {
      this.#byName.delete(name)
      this.#byName.set(name, known)
      return known
    }
    const head = yield* read(key)
    if (head === undefined) return undefined
    this.#byName.set(name, head)
    this.#byId.set(stateOf(head).conversation, head)
    this.#forgetOldest()
    return head
  }

  /** Looks at two for each that comes: so those that cannot be forgotten yet, and go to the end, hold up nobody. */
  #forgetOldest(): void {
    for (let looks = 2; this.#byName.size > remembered && looks > 0; looks--) {
      const [[name, oldest] = []] = this.#byName
      if (name === undefined || oldest === undefined) return
      if (isUnsettled(oldest)) {
        this.#byName.delete(name)
        this.#byName.set(name, oldest)
      } else this.forget(oldest)
    }
  }

  /** Finds it by one of its turns from here on. */
  remember(head: Head, turn: string): void {
    this.#byTurn.set(turn, head)
  }

  forgetTurn(turn: string): void {
    this.#byTurn.delete(turn)
  }

  forget(head: Head): void {
    const { tenant, client } = head.key
    this.#byName.delete(nameOf(tenant, client))
    this.#byId.delete(stateOf(head).conversation)
    for (const { accepted } of head.tail) this.#byTurn.delete(accepted.id)
    if (head.open !== undefined) this.#byTurn.delete(head.open.id)
  }

  clear(): void {
    this.#byName.clear()
    this.#byId.clear()
    this.#byTurn.clear()
  }
}

const nameOf = (tenant: string, client: string): string => `${tenant}\0${client}`

interface HeadRow extends ClientRow {
  readonly fence: number
  readonly places: number
  readonly active_turn: string | null
  readonly busy: number
}

function* read(key: ConversationKey): Work<Head | undefined> {
  const row = yield* first<HeadRow>(
    `SELECT fence, places, active_turn, EXISTS (SELECT 1 FROM turns q WHERE coalesce(q.tenant, '') = conversations.tenant
       AND q.conversation = conversations.id AND q.status IN (${before('cancel')})) AS busy, ${clientColumns}
     FROM conversations WHERE tenant = ? AND client_name = ?`,
    ...[key.tenant, key.client],
  )
  if (row === undefined || row.busy === 1 || row.active_turn !== null) return undefined
  const { fence, places } = row
  const client = toClient(key.tenant, row)
  return { key, client, fence, places, open: undefined, tail: [], lastTurn: undefined, charged: undefined }
}
