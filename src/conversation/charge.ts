import type { Context } from './context/choose-context.ts'
import { exactSizeOf } from './context/choose-context.ts'
import type { ConversationKey, Usage } from './conversation.ts'
import type { LiveTurn } from './live-turn.ts'
import type { Target } from './model-catalog.ts'
import type { CountTokens, Now } from './ports.ts'

/** What a turn has used, and on whose account. */
export interface Charge {
  readonly key: ConversationKey
  /** The id of the key that it came with; undefined for the operator's. */
  readonly apiKey: string | undefined
  /** As users write it. */
  readonly model: string
  readonly input: number
  readonly output: number
  /** Whether we have counted, since the upstream did not say. */
  readonly estimated: boolean
  /** Unix milliseconds. */
  readonly at: number
}

/** The model that was asked last, and what it was sent. */
export interface Sent {
  readonly target: Target
  readonly context: Context
}

interface Account {
  readonly key: ConversationKey
  readonly apiKey?: string | undefined
}

/** Of a longer answer only so much is counted, in UTF-16 units, and the rest taken to be like it. */
const sample = 64 * 1024

/**
 * What a turn is charged: what the upstream says, or else what we count of what went there and what came back. Undefined where
 * nothing came: what an upstream refuses costs nothing.
 */
export async function chargeOf(
  { countTokens, now }: { countTokens: CountTokens; now: Now },
  { key, apiKey }: Account,
  sent: Sent | undefined,
  live: LiveTurn,
  usage?: Usage,
): Promise<Charge | undefined> {
  if (sent === undefined || (usage === undefined && !live.begun)) return undefined
  const account = { key, apiKey, model: sent.target.name, at: now() }
  if (usage !== undefined)
    return { ...account, input: usage.input_tokens, output: usage.output_tokens, estimated: false }
  const { text, length } = live.beginning(sample)
  const output = Math.ceil(((await countTokens(text)) / text.length) * length)
  const input = await exactSizeOf(sent.context, countTokens)
  return { ...account, input, output, estimated: true }
}
