import { predict, type TurnCosts } from './capacity.ts'
import type { Traffic } from './counting-proxy.ts'
import type { Counters, TableSize } from './database-counters.ts'
import { median } from './numbers.ts'
import type { ThisMachine } from './results.ts'
import type { Slice } from './slices.ts'
import type { Options } from './tools.ts'

/**
 * How far the model may be off, as a part of what was measured. Others use the same cores and caches, and one slice differs
 * from the next by up to a fifth.
 */
const tolerance = 0.25

/** What Postgres carries for one answered turn. */
export interface TurnLoad {
  readonly statements: number
  readonly roundTrips: number
  readonly bytesUp: number
  readonly bytesDown: number
  /** Transactions that write. */
  readonly writes: number
  /** All that Postgres counts, those that only read among them. */
  readonly commits: number
  readonly updates: number
  readonly hotUpdates: number
  readonly walBytes: number
  readonly walRecords: number
  /** Pages that were written whole, as after a checkpoint. */
  readonly fullPages: number
  readonly walBytesAfterCheckpoint: number
  /** On the disk, with indexes. */
  readonly storedBytes: number
  readonly tables: readonly TableSize[]
}

/** A layout over all rounds: medians. */
export interface Run {
  readonly name: string
  /** Whether the model was made of this very run. */
  readonly fitted: boolean
  readonly perSecond: number
  readonly predicted: number
  /** What was measured as a part of what was predicted: the median of the slices, each with the cores that others left. */
  readonly ratio: number
  readonly limit: string
  readonly p50: number
  readonly p99: number
  readonly instanceCpu: number
  readonly postgresCpu: number
  readonly loadCpu: number
  /** How many cores others left. */
  readonly cores: number
}

export interface ScalingResult extends ThisMachine {
  readonly method: Options & {
    readonly clients: number
    readonly messages: number
    readonly commitWait: number
  }
  readonly costs: TurnCosts
  readonly turn: TurnLoad
  /** Megabytes of an instance at the end. */
  readonly memory: number
  readonly runs: readonly Run[]
  readonly check: { readonly tolerance: number; readonly passed: boolean }
}

interface Evidence {
  /** Around the rounds. */
  readonly before: Counters
  readonly after: Counters
  /** Around a slice right after a checkpoint. */
  readonly fresh: Pick<Counters, 'wal' | 'turns'>
  readonly written: Pick<Counters, 'wal' | 'turns'>
  readonly traffic: { readonly before: Traffic; readonly after: Traffic; readonly requests: number }
  readonly sizes: readonly TableSize[]
}

export function turnOf({ before, after, fresh, written, traffic, sizes }: Evidence): TurnLoad {
  const turns = after.turns - before.turns
  const counted = (name: keyof Counters) => (after[name] - before[name]) / turns
  const passed = (name: keyof Traffic) => (traffic.after[name] - traffic.before[name]) / traffic.requests
  const stored = sizes.find(({ table }) => table === 'turns')?.rows ?? 0
  return {
    statements: passed('statements'),
    roundTrips: passed('roundTrips'),
    writes: passed('writes'),
    bytesUp: passed('bytesUp'),
    bytesDown: passed('bytesDown'),
    commits: counted('commits'),
    updates: counted('updates'),
    hotUpdates: counted('hotUpdates'),
    walBytes: counted('wal'),
    walRecords: counted('walRecords'),
    fullPages: counted('fullPages'),
    walBytesAfterCheckpoint: (written.wal - fresh.wal) / (written.turns - fresh.turns),
    storedBytes: sizes.reduce((sum, { data, indexes }) => sum + data + indexes, 0) / stored,
    tables: sizes,
  }
}

/** The costs by the first layout alone: no other run is looked at. */
export function costsOf(slices: readonly Slice[], turn: TurnLoad): TurnCosts {
  const fitted = slices.filter(({ layout }) => layout === slices[0]?.layout)
  const of = (name: 'instanceCpu' | 'instanceThread' | 'postgresCpu' | 'loadCpu') =>
    median(fitted.map((slice) => slice[name]))
  const { roundTrips, writes, walBytes, storedBytes } = turn
  return {
    instanceCpu: of('instanceCpu'),
    instanceThread: of('instanceThread'),
    postgresCpu: of('postgresCpu'),
    loadCpu: of('loadCpu'),
    ...{ roundTrips, writes, walBytes, storedBytes },
  }
}

export function runsOf(slices: readonly Slice[], costs: TurnCosts, commitWait: number): Run[] {
  return [...new Set(slices.map(({ layout }) => layout))].map((name, index) => {
    const own = slices.filter(({ layout }) => layout === name)
    const predictions = own.map(({ machines, roundTrip }) =>
      predict(costs, { machines, roundTrip, commitWait }),
    )
    const of = (value: (slice: Slice) => number) => median(own.map(value))
    const predicted = median(predictions.map(({ turnsPerSecond }) => turnsPerSecond))
    return {
      ...{ name, fitted: index === 0, predicted },
      perSecond: of((slice) => slice.perSecond),
      ratio: median(own.map(({ perSecond }, i) => perSecond / (predictions[i]?.turnsPerSecond ?? 0))),
      limit: commonest(predictions.map(({ resource }) => resource)),
      p50: of((slice) => slice.p50),
      p99: of((slice) => slice.p99),
      instanceCpu: of((slice) => slice.instanceCpu),
      postgresCpu: of((slice) => slice.postgresCpu),
      loadCpu: of((slice) => slice.loadCpu),
      cores: of(({ machines }) => machines.reduce((sum, { cores }) => sum + cores, 0)),
    }
  })
}

/** Whether the runs that the model had not seen came out as it said, in their medians and slice by slice. */
export function checkOf(runs: readonly Run[]): ScalingResult['check'] {
  const unseen = runs.filter(({ fitted }) => !fitted)
  const near = (ratio: number) => Math.abs(ratio - 1) <= tolerance
  const passed =
    unseen.length > 0 &&
    unseen.every(({ ratio, perSecond, predicted }) => near(ratio) && near(perSecond / predicted))
  return { tolerance, passed }
}

function commonest(names: readonly string[]): string {
  const groups = Object.entries(Object.groupBy(names, (name) => name))
  return groups.toSorted(([, a = []], [, b = []]) => b.length - a.length)[0]?.[0] ?? ''
}
