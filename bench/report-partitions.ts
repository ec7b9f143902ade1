import { shown } from './numbers.ts'
import { conditions, table } from './report.ts'
import type { Tables, ThisMachine } from './results.ts'
import type { Options } from './tools.ts'

/** A database whose tables are divided into so many parts; 1: they are as Daehwa makes them. */
export interface PartitionRun {
  readonly parts: number
  readonly perSecond: number
  readonly postgresCpu: number
  /** CPU of Postgres as a multiple of that with whole tables: the median of the rounds. */
  readonly ratio: number
  /** How often a turn looks into a table or a part of one. */
  readonly looks: number
}

/** What Postgres says to a division; undefined: nothing against it. */
export interface Objection {
  readonly table: string
  readonly key: string
  readonly said: string | undefined
}

export interface PartitionResult extends ThisMachine {
  readonly method: Options
  readonly runs: readonly PartitionRun[]
  readonly objections: readonly Objection[]
}

/** The tables of docs/scaling.md, by the names of their places in it. */
export function partitionTablesShown(result: PartitionResult): Tables {
  return { partitions: runs(result), 'partition keys': objections(result) }
}

const runs = (result: PartitionResult): string =>
  [
    `${conditions(result)} ${result.method.rounds} rounds of ${result.method.seconds} s each, one instance, ${result.method.connections} connections.`,
    '',
    ...table(
      [
        'parts',
        'turns a second',
        'CPU of Postgres a turn',
        'against whole tables',
        'looks into a table or part, a turn',
      ],
      result.runs.map(({ parts, perSecond, postgresCpu, ratio, looks }) => [
        parts === 1 ? 'none' : `${parts}`,
        shown(perSecond),
        `${shown(postgresCpu)} ms`,
        `× ${ratio.toFixed(2)}`,
        shown(looks),
      ]),
    ),
  ].join('\n')

const objections = ({ objections: all }: PartitionResult): string =>
  table(
    ['table', 'divided by', 'what Postgres says'],
    all.map(({ table: name, key, said }) => [
      `\`${name}\``,
      `\`${key}\``,
      said === undefined ? 'yes' : `no: ${said.replace(/.*: (?=[A-Z])/, '')}`,
    ]),
  ).join('\n')
