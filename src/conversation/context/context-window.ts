/** What a model can take, in tokens: `window` for the question and the answer, `answer` kept free of it. */
export interface Limits {
  readonly window: number
  readonly answer: number
}

/** What the chat format itself costs: per message, and for the beginning of the answer. */
const perMessage = 4
const perRequest = 3

/** The tokens of one message as it stands in a request. */
export const messageTokens = (contentTokens: number): number => contentTokens + perMessage

/**
 * The tokens that are left for past turns, when `always` (the messages that must go along: instructions and
 * the new input, in tokens as of `messageTokens`) are in. Below zero they alone do not fit.
 */
export function roomForTurns(limits: Limits, always: readonly number[]): number {
  return limits.window - limits.answer - perRequest - sum(always)
}

/**
 * How many turns, from the first one given on, fit into `room` tokens. Each is given as the tokens of its items,
 * and is in whole or out; none after one that is out is in.
 */
export function countThatFit(room: number, turns: readonly (readonly number[])[]): number {
  let left = room
  let count = 0
  for (const items of turns) {
    left -= sum(items)
    if (left < 0) break
    count++
  }
  return count
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, n) => total + n, 0)
