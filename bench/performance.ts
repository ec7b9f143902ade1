import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { installRivals, rivalVersions } from './contenders.ts'
import type { PerformanceResult } from './performance-result.ts'
import { plot } from './plot.ts'
import { performancePages, performanceTables } from './report-performance.ts'
import { save, thisMachine } from './results.ts'
import { coldStart } from './scenarios/cold-start.ts'
import { comparison } from './scenarios/comparison.ts'
import { concurrency } from './scenarios/concurrency.ts'
import { followers } from './scenarios/followers.ts'
import { history } from './scenarios/history.ts'
import { idle } from './scenarios/idle.ts'
import { stored } from './scenarios/stored.ts'
import { streaming } from './scenarios/streaming.ts'
import { prepareStage } from './stage.ts'
import { readOptions, requireTools } from './tools.ts'

const options = readOptions()

requireTools()
installRivals()
const result = await measure()
process.stdout.write(`\n${Object.values(performanceTables(result)).join('\n\n')}\n`)
if (options.save) {
  const kept = save('performance', result, performancePages)
  writeFileSync(join(import.meta.dirname, '../docs/performance.svg'), plot(kept))
}

async function measure(): Promise<PerformanceResult> {
  await using stage = await prepareStage()
  const { data, ...compared } = await comparison(stage, options)
  const started = await coldStart(stage, data)
  return {
    ...thisMachine(rivalVersions()),
    method: options,
    ...compared,
    coldStart: started,
    concurrency: await concurrency(stage, options),
    history: await history(stage, options),
    stored: await stored(stage, options),
    streaming: await streaming(stage, options),
    followers: await followers(stage),
    idle: await idle(stage),
  }
}
