import type { Machine } from './capacity.ts'
import { clients, runLoad } from './load.ts'
import { busy, cpuOf, cpuOfEnded, cpuOfMainThread, cpuOfTree, pin } from './processes.ts'
import type { Server } from './spawn-server.ts'

/** What shares some cores: instances by their number, Postgres, and the load with its upstream. */
interface Placement {
  readonly name: string
  readonly cpus: readonly number[]
  readonly instances: readonly number[]
  readonly postgres: boolean
  readonly load: boolean
}

/** Who runs where while a slice is measured. */
export interface Layout {
  readonly name: string
  readonly placements: readonly Placement[]
  /** Milliseconds to Postgres and back, where that is not next to nothing. */
  readonly roundTrip?: number
  /** How many times as long a slice is: what takes long loses more at its ends. */
  readonly longer?: number
}

/** All that stays up during a run. */
export interface Stage {
  readonly instances: readonly Server[]
  readonly postgres: number
  readonly upstream: number
  readonly connections: number
}

/** What one layout did in a second or two. CPU is milliseconds per answered turn, latency milliseconds. */
export interface Slice {
  readonly layout: string
  readonly requests: number
  readonly perSecond: number
  readonly p50: number
  readonly p99: number
  readonly instanceCpu: number
  readonly instanceThread: number
  readonly postgresCpu: number
  readonly loadCpu: number
  /** The placements, with as many of their cores as nobody else used. */
  readonly machines: readonly Machine[]
  readonly roundTrip: number
}

/** Runs load through one layout after the other; every conversation grows evenly. */
export class Slices {
  readonly #stage: Stage
  #pinned: string | undefined
  /** Queries so far. */
  asked = 0

  constructor(stage: Stage) {
    this.#stage = stage
  }

  /** How many messages the conversations have by now, on average. */
  get messages(): number {
    return (this.asked / clients) * 2
  }

  async run(layout: Layout, seconds: number): Promise<Slice> {
    this.#pin(layout)
    const { instances, connections } = this.#stage
    const used = layout.placements.flatMap((placement) => placement.instances)
    const urls = used.map((number) => instances[number]?.url ?? '')
    const cpus = layout.placements.find(({ load }) => load)?.cpus ?? []
    const before = this.#times(layout)
    const start = performance.now()
    const answered = await runLoad({
      urls,
      connections,
      seconds: seconds * (layout.longer ?? 1),
      from: this.asked,
      cpus,
    })
    const wall = performance.now() - start
    const spent = difference(this.#times(layout), before)
    this.asked += answered.requests
    const perTurn = (time: number) => time / answered.requests
    const { p50, p99, requests, perSecond } = answered
    return {
      ...{ layout: layout.name, requests, perSecond, p50, p99, roundTrip: layout.roundTrip ?? 0 },
      instanceCpu: perTurn(sum(spent.instances)),
      instanceThread: perTurn(sum(spent.threads)),
      postgresCpu: perTurn(spent.postgres),
      loadCpu: perTurn(spent.load),
      machines: layout.placements.map((placement, i) => toMachine(placement, spent, i, wall)),
    }
  }

  #pin(layout: Layout): void {
    if (this.#pinned === layout.name) return
    for (const placement of layout.placements) {
      const { instances, upstream, postgres } = this.#stage
      for (const number of placement.instances) pin(instances[number]?.pid ?? 0, placement.cpus)
      if (placement.postgres) pin(postgres, placement.cpus)
      if (placement.load) pin(upstream, placement.cpus)
    }
    this.#pinned = layout.name
  }

  /** Milliseconds of CPU until now. */
  #times({ placements }: Layout): Times {
    const { instances, upstream, postgres } = this.#stage
    const cores = placements.map(({ cpus }) => busy(cpus))
    const interrupts = placements.map(({ load }, i) => (load ? (cores[i]?.interrupts ?? 0) : 0))
    return {
      instances: instances.map(({ pid }) => cpuOf(pid)),
      threads: instances.map(({ pid }) => cpuOfMainThread(pid)),
      postgres: cpuOfTree(postgres),
      load: cpuOfEnded() + cpuOfTree(upstream) + sum(interrupts),
      busy: cores.map(({ all }) => all),
    }
  }
}

interface Times {
  readonly instances: readonly number[]
  readonly threads: readonly number[]
  readonly postgres: number
  readonly load: number
  /** Of all cores of each placement. */
  readonly busy: readonly number[]
}

function difference(after: Times, before: Times): Times {
  const each = (of: (times: Times) => readonly number[]) =>
    of(after).map((time, i) => time - (of(before)[i] ?? 0))
  return {
    instances: each(({ instances }) => instances),
    threads: each(({ threads }) => threads),
    postgres: after.postgres - before.postgres,
    load: after.load - before.load,
    busy: each((times) => times.busy),
  }
}

function toMachine(placement: Placement, spent: Times, index: number, wall: number): Machine {
  const { name, cpus, instances, postgres, load } = placement
  const ours =
    sum(instances.map((number) => spent.instances[number] ?? 0)) +
    (postgres ? spent.postgres : 0) +
    (load ? spent.load : 0)
  const others = Math.max(0, (spent.busy[index] ?? 0) - ours)
  return { name, cores: cpus.length - others / wall, instances: instances.length, postgres, load }
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0)
