import type { Fragment, PastItem, PastRun } from '../conversation.ts'
import type { CountTokens } from '../ports.ts'
import { exact } from './sizes.ts'

/** A message as every API takes it: an answer without a word is refused by some. What is stored stays as it was. */
export const mended = ({ json }: Fragment): string =>
  json === '{"role":"assistant","content":""}' ? '{"role":"assistant","content":"(no answer)"}' : json

export const noRun: PastRun = { json: '', tokens: 0, counted: true, items: () => [] }

/** A run of messages, behind one that is there already. */
export function runOf(items: readonly PastItem[], before: PastRun = noRun): PastRun {
  let { tokens, counted } = before
  const texts = before.json === '' ? [] : [before.json]
  for (const item of items) {
    tokens += item.tokens
    counted &&= item.counted
    texts.push(mended(item))
  }
  return { json: texts.join(), tokens, counted, items: () => [...before.items(), ...items] }
}

/** Its tokens, all of them counted. */
export async function countedTokens({ items }: PastRun, countTokens: CountTokens): Promise<number> {
  let tokens = 0
  for (const item of items()) tokens += (await exact(item, countTokens)).tokens
  return tokens
}
