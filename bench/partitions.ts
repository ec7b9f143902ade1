import { setTimeout as wait } from 'node:timers/promises'
import { Client } from 'pg'
import { localPostgres } from '../test/support/local-postgres.ts'
import { startCannedUpstream } from './canned-upstream.ts'
import { countsAreLate, Observer } from './database-counters.ts'
import { startInstance } from './instance.ts'
import { median } from './numbers.ts'
import { objection, partitionTables } from './partition-tables.ts'
import { progress } from './progress.ts'
import {
  type Objection,
  type PartitionResult,
  type PartitionRun,
  partitionTablesShown,
} from './report-partitions.ts'
import { save, thisMachine } from './results.ts'
import { type Slice, Slices } from './slices.ts'
import { readOptions, requireTools } from './tools.ts'

const options = readOptions()
/** Turns of each database before the rounds, and into how many parts its tables are divided. */
const warmTurns = 4_000
const divisions = [1, 8, 32]
/** Divisions that somebody might want. */
const wishes = [
  ['conversations', 'tenant'],
  ['conversations', 'id'],
  ['turns', 'tenant'],
  ['turns', 'conversation'],
  ['turns', 'id'],
  ['items', 'tenant'],
  ['items', 'conversation'],
  ['compactions', 'conversation'],
] as const
const layout = (name: string) => ({
  name,
  placements: [{ name: 'all', cpus: [0, 1], instances: [0], postgres: true, load: true }],
})

requireTools()
const result = await measure()
process.stdout.write(`\n${Object.values(partitionTablesShown(result)).join('\n\n')}\n`)
if (options.save) save('partitions', result, (kept) => ({ 'docs/scaling.md': partitionTablesShown(kept) }))

interface Candidate {
  readonly parts: number
  readonly slices: Slices
  readonly client: Client
}

async function measure(): Promise<PartitionResult> {
  await using resources = new AsyncDisposableStack()
  progress('starting Postgres and the upstream')
  const postgres = localPostgres()
  resources.defer(postgres.remove)
  await postgres.create()
  const upstream = resources.use(await startCannedUpstream())

  const candidates: Candidate[] = []
  for (const parts of divisions) {
    progress(parts === 1 ? 'tables as they are' : `tables in ${parts} parts`)
    const url = await postgres.newDatabase()
    await (await startInstance(upstream.baseUrl, { DATABASE_URL: url }))[Symbol.asyncDispose]() // makes the tables
    const client = new Client(url)
    await client.connect()
    resources.defer(() => client.end())
    if (parts > 1) await partitionTables(client, parts)
    const instances = [resources.use(await startInstance(upstream.baseUrl, { DATABASE_URL: url }))]
    const stage = {
      instances,
      postgres: postgres.pid ?? 0,
      upstream: upstream.pid,
      connections: options.connections,
    }
    const slices = new Slices(stage)
    while (slices.asked < warmTurns) {
      await slices.run(layout(`${parts}`), 1)
      await client.query('ANALYZE')
    }
    candidates.push({ parts, slices, client })
  }

  const objections: Objection[] = []
  const observer = resources.use(new Observer(await emptyDatabase()))
  const version = await observer.connect()
  const runs = await rounds(candidates)
  return { ...thisMachine({ Postgres: version }), method: options, runs, objections }

  async function emptyDatabase(): Promise<string> {
    const url = await postgres.newDatabase()
    await (await startInstance(upstream.baseUrl, { DATABASE_URL: url }))[Symbol.asyncDispose]()
    const client = new Client(url)
    await client.connect()
    for (const [table, key] of wishes)
      objections.push({ table, key, said: await objection(client, table, key) })
    await client.end()
    return url
  }
}

async function rounds(candidates: readonly Candidate[]): Promise<PartitionRun[]> {
  const measured = new Map<number, Slice[]>()
  const looksBefore = await Promise.all(candidates.map(looks))
  const turnsBefore = candidates.map(({ slices }) => slices.asked)
  for (let round = 1; round <= options.rounds; round++) {
    for (const { parts, slices } of round % 2 === 1 ? candidates : candidates.toReversed()) {
      const slice = await slices.run(layout(`${parts}`), options.seconds)
      measured.set(parts, [...(measured.get(parts) ?? []), slice])
      progress(
        `round ${round} of ${options.rounds}: ${parts} parts, ${Math.round(slice.perSecond)} turns a second`,
      )
    }
  }
  const looksAfter = await Promise.all(candidates.map(looks))
  return candidates.map(({ parts, slices }, i) => {
    const own = measured.get(parts) ?? []
    const plain = measured.get(1) ?? []
    const turns = slices.asked - (turnsBefore[i] ?? 0)
    return {
      parts,
      perSecond: median(own.map(({ perSecond }) => perSecond)),
      postgresCpu: median(own.map(({ postgresCpu }) => postgresCpu)),
      ratio: median(own.map(({ postgresCpu }, round) => postgresCpu / (plain[round]?.postgresCpu ?? 0))),
      looks: ((looksAfter[i] ?? 0) - (looksBefore[i] ?? 0)) / turns,
    }
  })
}

/** How often a table or a part of one was looked into, by an index or as a whole. */
async function looks({ client }: Candidate): Promise<number> {
  await wait(countsAreLate)
  const { rows } = await client.query(
    'SELECT sum(coalesce(idx_scan, 0) + seq_scan)::float8 AS looks FROM pg_stat_user_tables',
  )
  return rows[0]?.looks ?? 0
}
