import type { Figures } from './interleaved.ts'
import { bytes, shown } from './numbers.ts'
import { type Goal, goalsOf, type PerformanceResult, type Verdict, verdictOf } from './performance-result.ts'
import { conditions, table } from './report.ts'
import type { Pages, Tables } from './results.ts'

/** The contenders, as they are called in English. */
const titles: Readonly<Record<string, string>> = {
  base: 'base: bare `node:http` and `undici`, keeps nothing',
  full: '**Daehwa**, `DAEHWA_DURABILITY=full`',
  normal: '**Daehwa**, `DAEHWA_DURABILITY=normal`',
  express: 'Express, `openai` SDK, history in memory',
  portkey: 'Portkey gateway, keeps nothing',
  fastapi: 'FastAPI, uvicorn, httpx, history in memory',
}

const koreanTitles: Readonly<Record<string, string>> = {
  base: '기준: `node:http`와 `undici`만 쓴 서버(아무것도 저장하지 않음)',
  full: '**Daehwa**, `DAEHWA_DURABILITY=full`',
  normal: '**Daehwa**, `DAEHWA_DURABILITY=normal`',
  express: 'Express + `openai` SDK(기록은 메모리에만)',
  portkey: 'Portkey 게이트웨이(저장하지 않음)',
  fastapi: 'FastAPI + uvicorn + httpx(기록은 메모리에만)',
}

export const performancePages = (result: PerformanceResult): Pages => ({
  'docs/performance.md': performanceTables(result),
  'README.md': { performance: summary(result, ['server', 'throughput', 'CPU of a request'], titles) },
  'README.ko.md': { performance: summary(result, ['서버', '처리량', '요청당 CPU'], koreanTitles) },
})

/** The tables of docs/performance.md, by the names of their places in it. */
export const performanceTables = (result: PerformanceResult): Tables => ({
  goals: goals(result),
  comparison: comparison(result),
  concurrency: concurrency(result),
  history: history(result),
  stored: stored(result),
  streaming: streaming(result),
  memory: memory(result),
  'cold start': coldStart(result),
})

function goals(result: PerformanceResult): string {
  const { method } = result
  return [
    `${conditions(result)} ${method.rounds} rounds of ${method.seconds} s each, ${method.connections} connections.`,
    '',
    ...table(
      ['figure', 'must', 'stretch', 'measured', 'held'],
      goalsOf(result).map((goal) => [
        goal.name,
        limit(goal, goal.must),
        goal.stretch === undefined ? '' : limit(goal, goal.stretch),
        `${figure(goal.figure)}${unit(goal)}`,
        words[verdictOf(goal)],
      ]),
    ),
  ].join('\n')
}

const words: Readonly<Record<Verdict, string>> = { missed: '**no**', must: 'must', stretch: 'stretch' }

const limit = (goal: Goal, value: number): string => `${goal.atLeast ? '≥' : '≤'} ${value}${unit(goal)}`

const unit = ({ unit: name }: Goal): string => (name === '×' || name === '' ? name : ` ${name}`)

const figure = (value: number): string => (Math.abs(value) < 10 ? value.toFixed(2) : shown(value))

const head = ['requests a second', 'p50 / p99', 'CPU of a request', 'throughput', 'CPU']

const cells = (one: Figures): string[] => [
  shown(one.perSecond),
  `${shown(one.p50)} / ${shown(one.p99)} ms`,
  micros(one.cpu),
  one.throughputRatio.toFixed(2),
  one.cpuRatio.toFixed(2),
]

const micros = (milliseconds: number): string => `${shown(milliseconds * 1_000)} µs`

const comparison = (result: PerformanceResult): string =>
  table(
    ['server', ...head],
    result.comparison.map((one) => [titles[one.name] ?? one.name, ...cells(one)]),
  ).join('\n')

const concurrency = (result: PerformanceResult): string =>
  table(
    ['requests at a time', 'server', ...head],
    result.concurrency.map((one) => [`${one.connections}`, `\`${one.name}\``, ...cells(one)]),
  ).join('\n')

const history = ({ history: { lengths, growth } }: PerformanceResult): string =>
  [
    ...table(
      ['messages before', ...head],
      lengths.map((one) => [shown(one.messages), ...cells(one)]),
    ),
    '',
    `From 200 to 2,000 messages each doubling multiplies the CPU of a query by ${growth.toFixed(2)}.`,
  ].join('\n')

const stored = (result: PerformanceResult): string =>
  table(
    ['stored messages', ...head],
    result.stored.map((one) => [shown(one.messages), ...cells(one)]),
  ).join('\n')

const streaming = ({ streaming: { firstToken, piece } }: PerformanceResult): string =>
  table(
    ['', 'base', 'Daehwa', 'difference'],
    [
      [
        'time to the first token, one request at a time',
        `${shown(firstToken.base)} ms`,
        `${shown(firstToken.daehwa)} ms`,
        `${shown(firstToken.daehwa - firstToken.base)} ms`,
      ],
      [
        'CPU of a piece, 8 requests at a time',
        micros(piece.base),
        micros(piece.daehwa),
        micros(piece.daehwa - piece.base),
      ],
    ],
  ).join('\n')

const memory = ({ followers, idle }: PerformanceResult): string =>
  table(
    ['memory of one', ''],
    [
      [`of ${shown(followers.count)} who follow an answer that pauses`, bytes(followers.bytesEach)],
      [`of ${shown(idle.conversations)} conversations that are not in use any more`, bytes(idle.bytesEach)],
    ],
  ).join('\n')

const starts: Readonly<Record<string, string>> = {
  empty: 'Daehwa, empty',
  seeded: 'Daehwa, with the database of the comparison',
  express: 'Express and `openai` SDK',
  portkey: 'Portkey gateway',
}

const coldStart = (result: PerformanceResult): string =>
  table(
    ['from the start of the process', 'ready', 'first query answered'],
    result.coldStart.map(({ name, ready, answered }) => [
      starts[name] ?? name,
      `${shown(ready)} ms`,
      `${shown(answered)} ms`,
    ]),
  ).join('\n')

const summary = (
  { comparison: all }: PerformanceResult,
  columns: readonly string[],
  names: Readonly<Record<string, string>>,
): string =>
  table(
    columns,
    all.map((one) => [names[one.name] ?? one.name, one.throughputRatio.toFixed(2), one.cpuRatio.toFixed(2)]),
  ).join('\n')
