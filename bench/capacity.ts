/**
 * How many turns a second a deployment carries: whatever is used up first is the limit, and all else waits for it. A
 * resource that has `capacity` a second, of which a turn takes `cost`, carries `capacity / cost` turns (the bottleneck law of
 * operational analysis: Denning and Buzen, 1978).
 *
 * Not modelled: how long a turn takes below the limit and how queues grow near it; locks, and conversations whose messages wait
 * for each other; what gets cheaper with more load, as commits that reach the disk together, and dearer with more data, as
 * indexes that no longer fit into memory; vacuum and checkpoints, beyond what was at work when the costs were measured; the
 * network's bytes; the upstream, which is often the true limit.
 */

/** Connections to Postgres that an instance has at the most: `connections` in src/storage/postgres.ts. */
export const poolSize = 10

/** What one answered turn costs. Times are milliseconds, of CPU those of one core. */
export interface TurnCosts {
  /** An instance with all its threads. */
  readonly instanceCpu: number
  /** Its one thread that runs JavaScript, which never uses more than a core. */
  readonly instanceThread: number
  readonly postgresCpu: number
  /** What runs beside them for the measurement alone: the load, the upstream, the kernel's interrupts. */
  readonly loadCpu: number
  readonly roundTrips: number
  /** Transactions that write: each waits for the disk once. */
  readonly writes: number
  readonly walBytes: number
  readonly storedBytes: number
}

/** Cores that are shared by what runs on them. */
export interface Machine {
  readonly name: string
  /** May be a fraction, where others use some of them. */
  readonly cores: number
  readonly instances?: number
  readonly postgres?: boolean
  readonly load?: boolean
}

export interface Deployment {
  readonly machines: readonly Machine[]
  /** Milliseconds from an instance to Postgres and back. */
  readonly roundTrip?: number
  /** Milliseconds until a commit is on the disk. */
  readonly commitWait?: number
  /** How many bytes of write-ahead log the disk, its archive or a replica takes in a second. */
  readonly walBytesPerSecond?: number
}

interface Limit {
  /** What is used up: `threads`, `cores of …`, `connections` or `log`. */
  readonly resource: string
  readonly turnsPerSecond: number
}

export interface Prediction extends Limit {
  /** All of them, the lowest first. */
  readonly limits: readonly Limit[]
}

/** Turns a second at the most, with the load spread evenly over the instances. @throws RangeError without an instance */
export function predict(costs: TurnCosts, deployment: Deployment): Prediction {
  const { machines, roundTrip = 0, commitWait = 0, walBytesPerSecond } = deployment
  const instances = machines.reduce((sum, machine) => sum + (machine.instances ?? 0), 0)
  if (instances === 0) throw new RangeError('a deployment has at least one instance')
  const limits = [
    { resource: 'threads', turnsPerSecond: (instances * 1_000) / costs.instanceThread },
    ...machines.map((machine) => ({
      resource: `cores of ${machine.name}`,
      turnsPerSecond: (machine.cores * 1_000) / cpuOn(machine, costs, instances),
    })),
    {
      resource: 'connections',
      turnsPerSecond: (instances * poolSize * 1_000) / connectionTime(costs, roundTrip, commitWait),
    },
  ]
  if (walBytesPerSecond !== undefined)
    limits.push({ resource: 'log', turnsPerSecond: walBytesPerSecond / costs.walBytes })
  const sorted = limits.toSorted((a, b) => a.turnsPerSecond - b.turnsPerSecond)
  const [lowest = { resource: 'threads', turnsPerSecond: 0 }] = sorted
  return { ...lowest, limits: sorted }
}

export interface Plan {
  readonly instances: number
  /** Cores for all instances together. */
  readonly instanceCores: number
  readonly postgresCores: number
  /** What `max_connections` of Postgres has to leave room for. */
  readonly connections: number
  /** Bytes. */
  readonly walPerDay: number
  readonly storedPerDay: number
}

/** What a load needs where no core is busier than `utilisation` (0 to 1): the rest is for peaks and for a machine that is gone. */
export function plan(costs: TurnCosts, turnsPerSecond: number, utilisation: number): Plan {
  const cores = (cpu: number) => Math.ceil((turnsPerSecond * cpu) / 1_000 / utilisation)
  const day = turnsPerSecond * 86_400
  const instances = cores(costs.instanceThread)
  return {
    instances,
    instanceCores: Math.max(instances, cores(costs.instanceCpu)),
    postgresCores: cores(costs.postgresCpu),
    connections: instances * poolSize,
    walPerDay: day * costs.walBytes,
    storedPerDay: day * costs.storedBytes,
  }
}

/** Milliseconds of CPU that a turn costs on one machine, on average over all turns. */
function cpuOn(
  { instances: here = 0, postgres, load }: Machine,
  costs: TurnCosts,
  instances: number,
): number {
  const shared = (here / instances) * costs.instanceCpu
  return shared + (postgres ? costs.postgresCpu : 0) + (load ? costs.loadCpu : 0)
}

/** For how long a turn holds connections, in milliseconds. None is held while a model is asked. */
const connectionTime = (costs: TurnCosts, roundTrip: number, commitWait: number): number =>
  costs.postgresCpu + costs.roundTrips * roundTrip + costs.writes * commitWait
