/** Whether Daehwa is still about as fast, against the base, as the saved results say: a minute, and no more than a collapse is seen. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { startBase, startDaehwa, withKey } from './contenders.ts'
import { allRounds, compared, interleave, repeated, withSets } from './interleaved.ts'
import { clients } from './load.ts'
import type { PerformanceResult } from './performance-result.ts'
import { collapses } from './smoke-check.ts'
import { prepareStage, seeded, sets } from './stage.ts'
import { requireTools } from './tools.ts'

const rounds = { rounds: 5, seconds: 1, connections: 32 }

requireTools()
const file = join(import.meta.dirname, 'results/performance.json')
const saved = JSON.parse(readFileSync(file, 'utf8')) as PerformanceResult
const [now, before] = [await measure(), saved.comparison.find(({ name }) => name === 'full')]
if (now === undefined || before === undefined) throw new Error('nothing to compare')
const found = collapses(now, before)
process.stdout.write(
  [
    `throughput against the base: ${now.throughputRatio.toFixed(2)}, saved ${before.throughputRatio.toFixed(2)}`,
    `CPU against the base: ${now.cpuRatio.toFixed(2)}, saved ${before.cpuRatio.toFixed(2)}`,
    ...found,
    '',
  ].join('\n'),
)
process.exitCode = found.length === 0 ? 0 : 1

async function measure() {
  await using stage = await prepareStage()
  await using servers = new AsyncDisposableStack()
  const data = await seeded(stage, sets(allRounds(rounds), clients))
  const base = servers.use(await startBase(stage.upstream.baseUrl))
  const full = servers.use(await startDaehwa(stage, data.dir))
  const slices = await interleave(
    [
      repeated('base', base, { path: '/', bodyFile: stage.body }),
      withSets('full', full, clients, withKey(data.secret)),
    ],
    rounds,
  )
  return compared(slices, 'base').find(({ name }) => name === 'full')
}
