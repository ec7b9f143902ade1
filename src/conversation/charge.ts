import { type Context, fragmentsOf } from './context/context.ts'
import { contentOf } from './context/sizes.ts'
import type { ConversationKey, Fragment, Usage } from './conversation.ts'
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

/** The model that was asked last and has not refused, and what it was sent. */
export interface Sent {
  readonly target: Target
  readonly context: Context
}

interface Account {
  readonly key: ConversationKey
  readonly apiKey?: string | undefined
}

/**
 * Only so much of a longer text is counted, in bytes, and the rest taken to be like it: when a server stops, all its turns are
 * counted at once, and nobody waits for that.
 */
const sample = 8 * 1024

/**
 * What a turn is charged: what the upstream says, or else what we count of what went there and what came back, if only since it
 * was not waited for. Undefined where nothing was sent that an upstream took: what it refuses costs nothing.
 */
export async function chargeOf(
  { countTokens, now }: { countTokens: CountTokens; now: Now },
  { key, apiKey }: Account,
  sent: Sent | undefined,
  live: LiveTurn,
  usage?: Usage,
): Promise<Charge | undefined> {
  if (sent === undefined) return undefined
  const account = { key, apiKey, model: sent.target.name, at: now() }
  if (usage !== undefined)
    return { ...account, input: usage.input_tokens, output: usage.output_tokens, estimated: false }
  const { text, length } = live.beginning(sample)
  const output = length === 0 ? 0 : Math.ceil(((await countTokens(text)) / text.length) * length)
  const input = await sizeNear(fragmentsOf(sent.context), countTokens)
  return { ...account, input, output, estimated: true }
}

/** The tokens of messages, near enough. What is not counted has its bytes for a size. */
async function sizeNear(fragments: readonly Fragment[], countTokens: CountTokens): Promise<number> {
  let [known, bytes, tokens, rest] = [0, 0, 0, 0]
  for (const fragment of fragments) {
    if (fragment.counted) {
      known += fragment.tokens
      continue
    }
    const part = Math.min(fragment.tokens, sample - bytes)
    rest += fragment.tokens - part
    if (part === 0) continue
    const text = contentOf(fragment)
    tokens += await countTokens(text.slice(0, Math.ceil((text.length * part) / fragment.tokens)))
    bytes += part
  }
  return Math.ceil(known + tokens + (rest * tokens) / Math.max(bytes, 1))
}
