/** What a key may use at most; what is undefined is not limited. Whole numbers from 1. */
export interface KeyLimits {
  readonly requests_per_minute?: number
  /** Turns that are answered or wait, over all instances. */
  readonly turns_at_once?: number
  readonly tokens_per_day?: number
  readonly tokens_per_month?: number
  /** Tokens of each of its clients. */
  readonly client_tokens_per_day?: number
}

/** Days are those of UTC, since 1970-01-01. */
const dayLength = 24 * 60 * 60 * 1000

export const dayOf = (at: number): number => Math.floor(at / dayLength)

export const firstDayOfMonth = (at: number): number => {
  const date = new Date(at)
  return dayOf(Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), 1))
}

/** Seconds until the next day begins, and the next month. */
export const untilNext = {
  day: (at: number): number => ((dayOf(at) + 1) * dayLength - at) / 1000,
  month(at: number): number {
    const date = new Date(at)
    return (Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1) - at) / 1000
  },
} as const

/** `2026-01-31` */
export const nameOfDay = (day: number): string => new Date(day * dayLength).toISOString().slice(0, 10)

/** How long an answer is taken to be whose length nothing limits, in tokens. */
const usualAnswer = 1_000

/** What goes with a turn, and how long its answer may be, in tokens. */
interface Expected {
  /** All that went the last time and came back, its instructions among it. */
  readonly lastTurn: number
  readonly instructions: string | undefined
  readonly input: number
  readonly longestAnswer: number | undefined
}

/** What a turn may use, before it is known. No text has more tokens than bytes. */
export const tokensToReserve = ({ lastTurn, instructions = '', input, longestAnswer }: Expected): number =>
  Math.max(lastTurn, Buffer.byteLength(instructions)) + input + (longestAnswer ?? usualAnswer)
