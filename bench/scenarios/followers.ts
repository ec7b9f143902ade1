import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import { startDaehwa, withKey } from '../contenders.ts'
import { runLoad } from '../load.ts'
import { pause, startPausingUpstream } from '../pausing-upstream.ts'
import type { PerformanceResult } from '../performance-result.ts'
import { residentOf } from '../processes.ts'
import { progress } from '../progress.ts'
import { type Stage, seeded } from '../stage.ts'

const count = 1_000
const clients = 2_000

/** What memory those take who wait for the next event of an answer that pauses. */
export async function followers(stage: Stage): Promise<PerformanceResult['followers']> {
  await using resources = new AsyncDisposableStack()
  const upstream = resources.use(await startPausingUpstream())
  const data = await seeded(stage, [{ offset: 0, clients, messages: 20 }])
  const server = resources.use(await startDaehwa(stage, data.dir, { upstream: upstream.baseUrl }))
  const { headers } = withKey(data.secret)
  progress('warming up')
  const load = { urls: [server.url], connections: 32, seconds: 3, from: 0, cpus: [1], clients }
  await runLoad({ ...load, request: { headers } })
  const reply = await fetch(`${server.url}/query`, {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json' },
    body: JSON.stringify({ client_name: 'followed', input: pause, background: true }),
  })
  const { id, turn_id } = (await reply.json()) as { id?: string; turn_id?: string }
  const events = `${server.url}/turns/${turn_id ?? id}/events`
  await wait(2_000)
  const before = residentOf(server.pid)
  const following: IncomingMessage[] = []
  resources.defer(async () => {
    for (const one of following) one.destroy()
  })
  while (following.length < count) {
    following.push(await follow(events, headers))
    if (following.length % 100 === 0) progress(`${following.length} followers`)
  }
  await wait(2_000)
  return { count, bytesEach: ((residentOf(server.pid) - before) * 1_024 ** 2) / count }
}

/** @throws Error when it does not get the first events */
async function follow(
  url: string,
  headers: Readonly<Record<string, string>>,
): Promise<IncomingMessage> {
  const [answer] = (await once(request(url, { headers, agent: false }).end(), 'response')) as [IncomingMessage]
  if (answer.statusCode !== 200) throw new Error(`a follower got ${answer.statusCode}`)
  answer.on('error', () => {})
  await once(answer, 'data')
  return answer.resume()
}
