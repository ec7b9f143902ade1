import { type Asked, type Load, runLoad } from './load.ts'
import { median } from './numbers.ts'
import { cpuOfTree } from './processes.ts'
import { progress } from './progress.ts'
import type { Server } from './spawn-server.ts'
import type { Options } from './tools.ts'

/** Who takes part in a comparison. */
export interface Contender {
  readonly name: string
  readonly server: Server
  /** How it is asked in a round. */
  readonly load: (round: number) => Partial<Load>
}

/** What a server did in a second or two. */
interface Slice {
  readonly perSecond: number
  /** Milliseconds, as is the CPU of a request. */
  readonly p50: number
  readonly p99: number
  readonly cpu: number
}

/** The slices of each contender, one for each round that counts. */
export type Slices = Readonly<Record<string, readonly Slice[]>>

/** Medians, and medians of the ratios of each round. */
export interface Figures extends Slice {
  readonly name: string
  /** As multiples of those of another contender. */
  readonly throughputRatio: number
  readonly cpuRatio: number
}

export type Rounds = Pick<Options, 'rounds' | 'seconds' | 'connections'>

/** Rounds before those that count: a server gets fast by being asked some ten thousand times. */
const warmUp = 4
/** For how many seconds clients are asked before it is measured how they are: they are in the midst of a conversation. */
const before = 1

/** Rounds in all, for those who need a set of clients for each. */
export const allRounds = ({ rounds }: Pick<Rounds, 'rounds'>): number => warmUp + rounds

/** All servers stay up; slices go through them in turn, in reversed order every second round. The load is on core 1. */
export async function interleave(
  contenders: readonly Contender[],
  options: Rounds,
  beforeEach?: () => Promise<void>,
): Promise<Slices> {
  const slices: Record<string, Slice[]> = Object.fromEntries(contenders.map(({ name }) => [name, []]))
  for (let round = 0; round < allRounds(options); round++) {
    await beforeEach?.()
    for (const { name, server, load } of round % 2 === 0 ? contenders : contenders.toReversed()) {
      const { seconds, connections } = options
      const asked = { urls: [server.url], connections, from: 0, cpus: [1], ...load(round) }
      const { requests: from } = await runLoad({ ...asked, seconds: before })
      const used = cpuOfTree(server.pid)
      const { requests, perSecond, p50, p99 } = await runLoad({ ...asked, seconds, from })
      const cpu = (cpuOfTree(server.pid) - used) / requests
      if (round >= warmUp) slices[name]?.push({ perSecond, p50, p99, cpu })
      const which = round < warmUp ? 'warming up' : `round ${round - warmUp + 1} of ${options.rounds}`
      progress(`${which}: ${name}, ${Math.round(perSecond)} requests a second`)
    }
  }
  return slices
}

/** Each contender against one of them. @throws RangeError where that one took no part */
export function compared(slices: Slices, reference: string): Figures[] {
  const against = slices[reference]
  if (against === undefined) throw new RangeError(`${reference} took no part`)
  return Object.entries(slices).map(([name, own]) => {
    const middle = (of: (slice: Slice) => number) => median(own.map(of))
    const ratio = (of: (slice: Slice) => number) =>
      median(own.map((slice, round) => of(slice) / of(against[round] ?? slice)))
    return {
      name,
      perSecond: middle(({ perSecond }) => perSecond),
      p50: middle(({ p50 }) => p50),
      p99: middle(({ p99 }) => p99),
      cpu: middle(({ cpu }) => cpu),
      throughputRatio: ratio(({ perSecond }) => perSecond),
      cpuRatio: ratio(({ cpu }) => cpu),
    }
  })
}

/** Asks with a body that is the same each time. */
export const repeated = (name: string, server: Server, request: Asked): Contender => ({
  name,
  server,
  load: () => ({ request }),
})

/** Asks a set of clients that is a new one in each round. */
export const withSets = (name: string, server: Server, clients: number, request: Asked): Contender => ({
  name,
  server,
  load: (round) => ({ clients, offset: round * clients, request }),
})
