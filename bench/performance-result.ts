import type { Figures } from './interleaved.ts'
import type { ThisMachine } from './results.ts'
import type { Options } from './tools.ts'

/** Bytes and milliseconds, and where it says `Ratio` multiples of what is beside it. */
export interface PerformanceResult extends ThisMachine {
  readonly method: Options
  /** All contenders, against `base`. */
  readonly comparison: readonly Figures[]
  /** How many times the throughput of what people write today: full durability over Express. */
  readonly overExpress: number
  readonly concurrency: readonly (Figures & { readonly connections: number })[]
  readonly history: HistoryResult
  readonly stored: readonly (Figures & { readonly messages: number })[]
  readonly streaming: StreamingResult
  readonly followers: { readonly count: number; readonly bytesEach: number }
  readonly idle: { readonly conversations: number; readonly bytesEach: number }
  readonly coldStart: readonly ColdStart[]
}

export interface HistoryResult {
  /** Against no history. */
  readonly lengths: readonly (Figures & { readonly messages: number })[]
  /** By how much the CPU of a request grows with each doubling from 200 to 2,000 messages. */
  readonly growth: number
}

export interface StreamingResult {
  readonly requests: number
  /** Medians, at one request at a time. */
  readonly firstToken: { readonly base: number; readonly daehwa: number }
  /** CPU of one piece of an answer. */
  readonly piece: { readonly base: number; readonly daehwa: number }
}

/** Medians, from the start of the process. */
export interface ColdStart {
  readonly name: string
  readonly ready: number
  readonly answered: number
}

/** The figures that are promised. */
export interface Goal {
  readonly name: string
  readonly figure: number
  readonly must: number
  readonly stretch?: number
  /** Whether more is better. */
  readonly atLeast: boolean
  readonly unit: '' | '×' | 'ms' | 'bytes'
}

export type Verdict = 'missed' | 'must' | 'stretch'

/** What is taken for nothing: a conversation of 20 messages takes some 3,500 bytes, and memory is never measured to the byte. */
const nothing = 100

export function goalsOf(result: PerformanceResult): Goal[] {
  const { comparison, history, stored, streaming, idle } = result
  const of = (name: string) => comparison.find((one) => one.name === name)
  const [full, normal] = [of('full'), of('normal')]
  const ratioAt = (messages: number) =>
    history.lengths.find((one) => one.messages === messages)?.cpuRatio ?? Number.NaN
  return [
    least('throughput against the base, `full`', full?.throughputRatio, 0.55, 0.75),
    most('CPU of a query against the base, `full`', full?.cpuRatio, 2, 1.4),
    least('throughput against the base, `normal`', normal?.throughputRatio, 0.7, 0.9),
    least('throughput against Express and the `openai` SDK, `full`', result.overExpress, 5, 8, '×'),
    most(
      'time that is added to the first token',
      streaming.firstToken.daehwa - streaming.firstToken.base,
      ...([1, 0.5, 'ms'] as const),
    ),
    most('CPU with 200 messages of history against none', ratioAt(200), 1.3, 1.1),
    most('growth of CPU with each doubling from 200 to 2,000 messages', history.growth, 1.6, 1.4),
    most('memory of a conversation that nobody uses', idle.bytesEach, nothing, undefined, 'bytes'),
    most('CPU of a query with 1,000,000 stored messages against 10,000', stored.at(-1)?.cpuRatio, 1.2),
  ]
}

const goal =
  (atLeast: boolean) =>
  (name: string, figure = Number.NaN, must: number, stretch?: number, unit: Goal['unit'] = ''): Goal => ({
    ...{ name, figure, must, atLeast, unit },
    ...(stretch !== undefined && { stretch }),
  })
const [least, most] = [goal(true), goal(false)]

/** @returns 'missed' for what was not measured, too */
export function verdictOf({ figure, must, stretch, atLeast }: Goal): Verdict {
  const holds = (limit: number) => (atLeast ? figure >= limit : figure <= limit)
  if (stretch !== undefined && holds(stretch)) return 'stretch'
  return holds(must) ? 'must' : 'missed'
}

/** By how much something grows with each doubling of a size, if it grows by this ratio from one size to a larger. */
export const growthPerDoubling = (ratio: number, from: number, to: number): number =>
  ratio ** (1 / Math.log2(to / from))
