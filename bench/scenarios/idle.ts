import { setTimeout as wait } from 'node:timers/promises'
import { startDaehwa, withKey } from '../contenders.ts'
import { runLoad } from '../load.ts'
import type { PerformanceResult } from '../performance-result.ts'
import { residentOf } from '../processes.ts'
import { progress } from '../progress.ts'
import { type Stage, seeded } from '../stage.ts'

/** Clients of a lot, of which each is asked once, and lots. What the heap does at its own time is little beside so many. */
const lot = 8_000
const lots = 6
/** Lots before: by then all that is remembered has come to its bound. The first gets so many queries that the server is warm. */
const before = 5
const warmUp = 20_000

/** How much memory grows with conversations that are asked once and not used any more. */
export async function idle(stage: Stage): Promise<PerformanceResult['idle']> {
  const data = await seeded(stage, [{ offset: 0, clients: lot * (before + lots), messages: 20 }])
  await using server = await startDaehwa(stage, data.dir)
  const request = withKey(data.secret)
  const load = { urls: [server.url], connections: 32, seconds: 2, cpus: [1], clients: lot, request }
  const ask = async (first: number, many: number) => {
    for (let n = first; n < first + many; n++) {
      const queries = n === 0 ? warmUp : lot
      for (let asked = 0; asked < queries; ) {
        progress(
          `memory of conversations: ${asked} of ${queries} queries to lot ${n + 1} of ${before + lots}`,
        )
        asked += (await runLoad({ ...load, from: asked, offset: n * lot })).requests
      }
    }
    await wait(1_000)
    return residentOf(server.pid)
  }
  const full = await ask(0, before)
  const grown = (await ask(before, lots)) - full
  return { conversations: lot * lots, bytesEach: (grown * 1_024 ** 2) / (lot * lots) }
}
