import { type Fragment, messageJson } from '../conversation.ts'
import type { CountTokens } from '../ports.ts'
import { messageTokens } from './context-window.ts'

type Role = Parameters<typeof messageJson>[0]

/**
 * A message that is not counted yet. No tokenizer that works on bytes makes more tokens of a text than it has bytes, so
 * that a conversation which is short for its model need never be counted.
 */
export const uncounted = (role: Role, text: string): Fragment => ({
  json: messageJson(role, text),
  tokens: messageTokens(Buffer.byteLength(text)),
  counted: false,
})

/** No encoding packs so many bytes into a token on an average: what is that much longer than its room need not be counted. */
const mostBytesPerToken = 64

/** Whether a size is out of all proportion to a room, so that neither counting nor reading makes sense. */
export const farTooLong = (tokens: number, room: number): boolean =>
  tokens > Math.max(room, 1) * mostBytesPerToken

/** The same message with its true size. */
export async function exact<T extends Fragment>(fragment: T, countTokens: CountTokens): Promise<T> {
  if (fragment.counted) return fragment
  return { ...fragment, tokens: messageTokens(await countTokens(contentOf(fragment))), counted: true }
}

export const contentOf = ({ json }: Fragment): string => (JSON.parse(json) as { content: string }).content

export const sum = (numbers: readonly number[]): number => numbers.reduce((total, n) => total + n, 0)

export const tokensOf = (fragments: readonly { readonly tokens: number }[]): number =>
  sum(fragments.map(({ tokens }) => tokens))
