import type { Fragment, PastItem, PastRun } from '../conversation.ts'
import type { CountTokens } from '../ports.ts'
import { exact, tokensOf } from './sizes.ts'

/** A message as every API takes it: an answer without a word is refused by some. What is stored stays as it was. */
export const mended = ({ json }: Fragment): string =>
  json === '{"role":"assistant","content":""}' ? '{"role":"assistant","content":"(no answer)"}' : json

export const runOf = (items: readonly PastItem[]): PastRun => ({
  json: Buffer.from(items.map(mended).join()),
  tokens: tokensOf(items),
  counted: items.every(({ counted }) => counted),
  items: () => items,
})

export const noRun = runOf([])

/** Its tokens, all of them counted. */
export async function countedTokens({ items }: PastRun, countTokens: CountTokens): Promise<number> {
  let tokens = 0
  for (const item of items()) tokens += (await exact(item, countTokens)).tokens
  return tokens
}
