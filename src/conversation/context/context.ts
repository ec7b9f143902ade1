import type { Compaction, Fragment, ItemView, PastRun } from '../conversation.ts'
import type { Messages } from '../ports.ts'
import { type Limits, roomForTurns } from './context-window.ts'
import { mended } from './past-run.ts'
import { tokensOf, uncounted } from './sizes.ts'

/** What a context is made for. */
export interface ContextRequest {
  /** For errors to name. */
  readonly model: string
  /** By which a past is chosen. */
  readonly limits: Limits
  /** The model's own: what is over them is refused. */
  readonly own: Limits
  readonly instructions: string | undefined
  readonly input: Fragment
  /** No more than so many tokens of past turns. */
  readonly cap?: number | undefined
}

/** What goes to the model for one turn, in the order in which it is sent. */
export interface Context {
  readonly instructions: Fragment | undefined
  readonly pinned: readonly ItemView[]
  readonly summary: Compaction | undefined
  readonly past: PastRun
  readonly input: Fragment
  /** Where the past begins: turns before it that no summary covers are left out. */
  readonly from: number
  /** Turns that are neither sent nor covered by the summary. */
  readonly leftOut: number
  readonly limits: Limits
}

/** A context as the messages of a request. */
export function messagesOf(context: Context): Messages {
  const { past, input } = context
  const messages: (string | Uint8Array)[] = partsBefore(context).map(mended)
  if (past.json.length > 0) messages.push(past.json)
  messages.push(mended(input))
  return messages
}

/** All that a context sends. */
export const fragmentsOf = (context: Context): Fragment[] => [...partsOf(context), ...context.past.items()]

/** The tokens of a context as far as they are known, and whether all of them are counted. */
export function sizeOf(context: Context): { tokens: number; counted: boolean } {
  const { past } = context
  const all = partsOf(context)
  return { tokens: past.tokens + tokensOf(all), counted: past.counted && all.every(({ counted }) => counted) }
}

/** What always goes along. */
export type Parts = Pick<Context, 'instructions' | 'pinned' | 'summary' | 'input'>

/** The same as it is by its bytes, without what is pinned and summarised. */
export const uncountedParts = ({ instructions, input }: ContextRequest): Parts => ({
  instructions: instructions === undefined ? undefined : uncounted('system', instructions),
  pinned: [],
  summary: undefined,
  input,
})

/** The tokens that are left beside what always goes along. */
export const roomBeside = (parts: Parts, limits: Limits): number =>
  roomForTurns(limits, [tokensOf(partsOf(parts))])

export function partsOf(parts: Parts): Fragment[] {
  const all = partsBefore(parts)
  all.push(parts.input)
  return all
}

/** What comes before past turns. */
function partsBefore({ instructions, pinned, summary }: Parts): Fragment[] {
  const before: Fragment[] = instructions === undefined ? [] : [instructions]
  before.push(...pinned)
  if (summary !== undefined) before.push(summary)
  return before
}
