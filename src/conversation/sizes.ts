import { messageTokens } from './context-window.ts'
import { type Fragment, messageJson } from './conversation.ts'
import type { CountTokens } from './ports.ts'

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

/** The same message with its true size. */
export async function exact(fragment: Fragment, countTokens: CountTokens): Promise<Fragment> {
  if (fragment.counted) return fragment
  const { content } = JSON.parse(fragment.json) as { content: string }
  return { ...fragment, tokens: messageTokens(await countTokens(content)), counted: true }
}
