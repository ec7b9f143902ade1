import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import { startDaehwa, withKey } from '../contenders.ts'
import { startPausingUpstream } from '../pausing-upstream.ts'
import type { PerformanceResult } from '../performance-result.ts'
import { residentOf } from '../processes.ts'
import { progress } from '../progress.ts'
import { type Stage, seeded } from '../stage.ts'

/** A first thousand takes up what the heap has to spare; what four thousand more take is told. */
const spare = 1_000
const count = 4_000

/** What memory those take who wait for the next event of an answer that pauses. */
export async function followers(stage: Stage): Promise<PerformanceResult['followers']> {
  await using resources = new AsyncDisposableStack()
  const upstream = resources.use(await startPausingUpstream())
  const data = await seeded(stage, [])
  const server = resources.use(await startDaehwa(stage, data.dir, { upstream: upstream.baseUrl }))
  const { headers } = withKey(data.secret)
  const reply = await fetch(`${server.url}/query`, {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json' },
    body: JSON.stringify({ client_name: 'followed', input: 'Think it over.', background: true }),
  })
  const { id } = (await reply.json()) as { id: string }
  const events = `${server.url}/turns/${id}/events`
  const following: IncomingMessage[] = []
  resources.defer(async () => {
    for (const one of following) one.destroy()
  })
  const residentWith = async (many: number) => {
    while (following.length < many) following.push(await follow(events, headers))
    progress(`${many} followers`)
    await wait(2_000)
    return residentOf(server.pid)
  }
  const before = await residentWith(spare)
  const after = await residentWith(spare + count)
  return { count, bytesEach: ((after - before) * 1_024 ** 2) / count }
}

/** @throws Error when it does not get the first events */
async function follow(url: string, headers: Readonly<Record<string, string>>): Promise<IncomingMessage> {
  const [answer] = (await once(request(url, { headers, agent: false }).end(), 'response')) as [
    IncomingMessage,
  ]
  if (answer.statusCode !== 200) throw new Error(`a follower got ${answer.statusCode}`)
  answer.on('error', () => {})
  await once(answer, 'data')
  return answer.resume()
}
