import { localPostgres } from '../test/support/local-postgres.ts'
import { startCannedUpstream } from './canned-upstream.ts'
import { startCountingProxy } from './counting-proxy.ts'
import { Observer } from './database-counters.ts'
import { startInstance } from './instance.ts'
import { clients } from './load.ts'
import { checkOf, costsOf, runsOf, type ScalingResult, turnOf } from './measured.ts'
import { residentOf } from './processes.ts'
import { progress } from './progress.ts'
import { scalingTables } from './report.ts'
import { save, thisMachine } from './results.ts'
import { type Layout, type Slice, Slices } from './slices.ts'
import { readOptions, requireTools } from './tools.ts'

const options = readOptions()
/** So many turns each conversation has when the rounds begin. */
const warmTurns = 4
/** How long is measured through a proxy, and after a checkpoint. */
const extraSeconds = 2
/** How far away Postgres is in some runs, in milliseconds. */
const far = 10

const together = (...instances: number[]) => [
  { name: 'all', cpus: [0, 1], instances, postgres: true, load: true },
]
/** The first is the one that the model is made of. */
const layouts = (distant: Pick<Layout, 'roundTrip' | 'longer'>): [Layout, Layout, ...Layout[]] => [
  { name: 'one instance', placements: together(0) },
  { name: 'two instances', placements: together(0, 1) },
  {
    name: 'two instances on one core, all else on the other',
    placements: [
      { name: 'the instances', cpus: [0], instances: [0, 1], postgres: false, load: false },
      { name: 'Postgres', cpus: [1], instances: [], postgres: true, load: true },
    ],
  },
  {
    name: 'one instance and all else on one core',
    placements: [{ name: 'all', cpus: [0], instances: [0], postgres: true, load: true }],
  },
  { name: `one instance, Postgres ${far} ms away`, placements: together(2), ...distant },
  { name: `two instances, Postgres ${far} ms away`, placements: together(2, 3), ...distant },
]

requireTools()
const result = await measure()
process.stdout.write(`\n${Object.values(scalingTables(result)).join('\n\n')}\n`)
if (options.save) save('scaling', result, (kept) => ({ 'docs/scaling.md': scalingTables(kept) }))
process.exitCode = result.check.passed ? 0 : 1

async function measure(): Promise<ScalingResult> {
  await using resources = new AsyncDisposableStack()
  progress('starting Postgres, the upstream and four instances')
  const postgres = localPostgres()
  resources.defer(postgres.remove)
  await postgres.create()
  const upstream = resources.use(await startCannedUpstream())
  const database = await postgres.newDatabase()
  const distance = resources.use(await startCountingProxy(database, far))
  const start = async (url: string) =>
    resources.use(await startInstance(upstream.baseUrl, { DATABASE_URL: url }))
  const instances = [await start(database), await start(database)]
  instances.push(await start(distance.url), await start(distance.url))
  const observer = resources.use(new Observer(database))
  const version = await observer.connect()
  const distant = resources.use(new Observer(distance.url))
  await distant.connect()
  const runsToCome = layouts({ roundTrip: await distant.roundTrip(), longer: 3 })
  const commitWait = await observer.commitWait()
  const [oneInstance, twoInstances] = runsToCome
  const { connections } = options
  const stage = { instances, postgres: postgres.pid ?? 0, upstream: upstream.pid, connections }
  const slices = new Slices(stage)

  while (slices.asked < clients * warmTurns) {
    progress(`warming up: ${slices.asked} of ${clients * warmTurns} turns`)
    await slices.run(twoInstances, 1)
    await observer.analyze()
  }
  progress('waiting for the counts of Postgres')
  const before = await observer.counters()
  const messagesBefore = slices.messages
  const measured = await rounds(slices, runsToCome)
  const messages = (messagesBefore + slices.messages) / 2
  const after = await observer.counters()

  progress('what is written right after a checkpoint')
  await observer.checkpoint()
  const fresh = await observer.log()
  await slices.run(oneInstance, extraSeconds)
  const written = await observer.log()

  progress('what goes to Postgres and back')
  const proxy = resources.use(await startCountingProxy(database))
  const proxied = await start(proxy.url)
  const through = new Slices({ ...stage, instances: [proxied] })
  through.asked = slices.asked
  const trafficBefore = { ...proxy.traffic }
  const { requests } = await through.run(oneInstance, extraSeconds)
  const traffic = { before: trafficBefore, after: { ...proxy.traffic }, requests }

  progress('what a stored turn takes')
  const sizes = await observer.tableSizes()
  const turn = turnOf({ before, after, fresh, written, traffic, sizes })
  const costs = costsOf(measured, turn)
  const runs = runsOf(measured, costs, commitWait)
  return {
    ...thisMachine({ Postgres: version }),
    method: { clients, ...options, messages, commitWait },
    costs,
    turn,
    memory: Math.max(...instances.slice(0, 2).map(({ pid }) => residentOf(pid))),
    runs,
    check: checkOf(runs),
  }
}

async function rounds(slices: Slices, layouts: readonly Layout[]): Promise<Slice[]> {
  const measured: Slice[] = []
  for (let round = 1; round <= options.rounds; round++) {
    for (const layout of round % 2 === 1 ? layouts : layouts.toReversed()) {
      const slice = await slices.run(layout, options.seconds)
      measured.push(slice)
      progress(
        `round ${round} of ${options.rounds}: ${layout.name}, ${Math.round(slice.perSecond)} turns a second`,
      )
    }
  }
  return measured
}
