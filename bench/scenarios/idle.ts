import { setTimeout as wait } from 'node:timers/promises'
import { startDaehwa, withKey } from '../contenders.ts'
import { runLoad } from '../load.ts'
import type { PerformanceResult } from '../performance-result.ts'
import { residentOf } from '../processes.ts'
import { progress } from '../progress.ts'
import { type Stage, seeded } from '../stage.ts'

/** Clients that are asked until the server is warm and its memory has its size. */
const usual = 5_000
/** Clients that are asked besides. */
const further = 20_000
const warmUp = 20_000

/** What memory conversations take that are not in use any more, once a server is warm. */
export async function idle(stage: Stage): Promise<PerformanceResult['idle']> {
  const data = await seeded(stage, [{ offset: 0, clients: usual + further, messages: 20 }])
  await using server = await startDaehwa(stage, data.dir)
  const request = withKey(data.secret)
  const load = { urls: [server.url], connections: 32, seconds: 2, cpus: [1], request }
  const ask = async (many: number, offset: number, clients: number) => {
    for (let asked = 0; asked < many; ) {
      progress(`memory of conversations: ${asked} of ${many} queries`)
      asked += (await runLoad({ ...load, from: asked, offset, clients })).requests
    }
    await wait(2_000)
    return residentOf(server.pid)
  }
  const before = await ask(warmUp, 0, usual)
  const after = await ask(further, usual, further)
  return { conversations: further, bytesEach: ((after - before) * 1_024 ** 2) / further }
}
