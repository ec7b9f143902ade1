import { plan, poolSize } from './capacity.ts'
import type { ScalingResult } from './measured.ts'
import { bytes, shown } from './numbers.ts'
import type { Tables, ThisMachine } from './results.ts'

/** The load of the worked example, in turns a second, and how busy its cores may be. */
const example = { turns: 1_000, utilisation: 0.6 }

/** The tables of docs/scaling.md, by the names of their places in it. */
export function scalingTables(result: ScalingResult): Tables {
  return { runs: runs(result), turn: turn(result), storage: storage(result), example: planned(result) }
}

function runs(result: ScalingResult): string {
  const { method, check } = result
  const rows = result.runs.map((run) => [
    run.name,
    shown(run.perSecond),
    `${shown(run.p50)} / ${shown(run.p99)} ms`,
    `${shown(run.instanceCpu)} ms`,
    `${shown(run.postgresCpu)} ms`,
    `${shown(run.loadCpu)} ms`,
    shown(run.cores),
    run.fitted ? `${shown(run.predicted)} (made of this run)` : shown(run.predicted),
    run.limit,
    difference(run.perSecond / run.predicted),
    difference(run.ratio),
  ])
  return [
    `${conditions(result)} ${method.rounds} rounds of ${method.seconds} s each, ${method.connections} connections, ${shown(method.clients)} conversations of ${shown(method.messages)} messages on average. A commit waits ${shown(method.commitWait)} ms for the disk.`,
    '',
    ...table(
      [
        ['run', 'turns a second', 'p50 / p99', 'CPU a turn: instances', 'Postgres', 'load and upstream'],
        ['cores that others left', 'predicted', 'limit', 'measured against predicted', 'slice by slice'],
      ].flat(),
      rows,
    ),
    '',
    `The model may be off by ${shown(check.tolerance * 100)} % in runs that it was not made of: ${check.passed ? 'passed' : 'FAILED'}.`,
  ].join('\n')
}

const difference = (ratio: number): string => `${ratio >= 1 ? '+' : '−'}${shown(Math.abs(ratio - 1) * 100)} %`

export const conditions = ({ date, machine, versions }: ThisMachine): string =>
  [
    `${date}, ${machine.cores} cores (${machine.cpu}), ${machine.memoryGb} GB`,
    ...Object.entries(versions).map((one) => one.join(' ')),
  ]
    .join(', ')
    .concat('.')

function turn({ turn: load, costs, memory }: ScalingResult): string {
  return table(
    ['for one answered turn', ''],
    [
      [
        'CPU of the instance',
        `${shown(costs.instanceCpu)} ms, ${shown(costs.instanceThread)} of it in its one thread for JavaScript`,
      ],
      ['CPU of Postgres', `${shown(costs.postgresCpu)} ms`],
      ['statements, `BEGIN` and `COMMIT` among them', shown(load.statements)],
      ['round trips to Postgres', shown(load.roundTrips)],
      [
        'bytes to Postgres, and back',
        `${bytes(load.bytesUp)}, ${bytes(load.bytesDown)} (the past among them)`,
      ],
      ['transactions that write; all that Postgres counts', `${shown(load.writes)}; ${shown(load.commits)}`],
      [
        'rows written anew; of these without new entries in the indexes',
        `${shown(load.updates)}; ${shown(load.hotUpdates)}`,
      ],
      [
        'write-ahead log',
        `${bytes(load.walBytes)} in ${shown(load.walRecords)} records, ${shown(load.fullPages)} whole pages`,
      ],
      ['write-ahead log right after a checkpoint', bytes(load.walBytesAfterCheckpoint)],
      ['on the disk of Postgres', bytes(load.storedBytes)],
      ['memory of an instance after the run (not a turn)', `${shown(memory)} MB`],
    ],
  ).join('\n')
}

function storage({ turn: { tables } }: ScalingResult): string {
  const turns = tables.find((one) => one.table === 'turns')?.rows ?? 0
  const rows = tables.map(({ table: name, rows: count, row, data, indexes }) => [
    `\`${name}\``,
    shown(count / turns),
    bytes(row),
    bytes(data / turns),
    bytes(indexes / turns),
  ])
  return table(['table', 'rows a turn', 'a row', 'table, a turn', 'its indexes, a turn'], rows).join('\n')
}

function planned({ costs, turn: load }: ScalingResult): string {
  const { turns, utilisation } = example
  const needs = plan(costs, turns, utilisation)
  const day = 86_400 * turns
  return table(
    [`${shown(turns)} turns a second, no core busier than ${utilisation * 100} %`, 'how it is reckoned', ''],
    [
      [
        'instances',
        `${turns} × ${shown(costs.instanceThread)} ms ÷ 1,000 ÷ ${utilisation}`,
        shown(needs.instances),
      ],
      [
        'their cores',
        `${turns} × ${shown(costs.instanceCpu)} ms ÷ 1,000 ÷ ${utilisation}, one for each at least`,
        shown(needs.instanceCores),
      ],
      [
        'cores of Postgres',
        `${turns} × ${shown(costs.postgresCpu)} ms ÷ 1,000 ÷ ${utilisation}`,
        shown(needs.postgresCores),
      ],
      ['connections', `${needs.instances} × ${poolSize}`, shown(needs.connections)],
      [
        'write-ahead log a day',
        `${shown(day)} × ${bytes(load.walBytes)}, up to ${bytes(load.walBytesAfterCheckpoint)}`,
        `${bytes(needs.walPerDay)} to ${bytes(day * load.walBytesAfterCheckpoint)}`,
      ],
      ['new data a day', `${shown(day)} × ${bytes(load.storedBytes)}`, bytes(needs.storedPerDay)],
    ],
  ).join('\n')
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)]
}
