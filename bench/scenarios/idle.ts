import { setTimeout as wait } from 'node:timers/promises'
import { startDaehwa, withKey } from '../contenders.ts'
import { runLoad } from '../load.ts'
import { median } from '../numbers.ts'
import type { PerformanceResult } from '../performance-result.ts'
import { residentOf } from '../processes.ts'
import { progress } from '../progress.ts'
import { type Stage, seeded } from '../stage.ts'

/** Clients of a lot, of which each is asked once, and lots. What the heap does at its own time is in few of them. */
const lot = 8_000
const lots = 5
/** Queries to one lot before, until the server is warm and its memory has its size. */
const warmUp = 20_000

/** What memory conversations take that are not in use any more, once a server is warm: the median of lots. */
export async function idle(stage: Stage): Promise<PerformanceResult['idle']> {
  const data = await seeded(stage, [{ offset: 0, clients: lot * (lots + 1), messages: 20 }])
  await using server = await startDaehwa(stage, data.dir)
  const request = withKey(data.secret)
  const load = { urls: [server.url], connections: 32, seconds: 2, cpus: [1], clients: lot, request }
  const ask = async (many: number, offset: number) => {
    for (let asked = 0; asked < many; ) {
      progress(`memory of conversations: ${asked} of ${many} queries to clients from ${offset} on`)
      asked += (await runLoad({ ...load, from: asked, offset })).requests
    }
    await wait(1_000)
    return residentOf(server.pid)
  }
  let before = await ask(warmUp, 0)
  const grown: number[] = []
  for (let n = 1; n <= lots; n++) {
    const after = await ask(lot, n * lot)
    grown.push(after - before)
    before = after
  }
  return { conversations: lot * lots, bytesEach: (median(grown) * 1_024 ** 2) / lot }
}
