import { expect, it } from 'vitest'
import { clientOf } from '../support/client.ts'
import { readEvents } from '../support/events.ts'
import { startServer } from '../support/start-server.ts'
import { startTranscriptUpstream } from '../support/transcript-upstream.ts'

const long = Array.from({ length: 40_000 }, (_, n) => `${((n * 7919) % 99_991).toString(36)}가나`).join(' ')

it('promise 25: what is not done 20 s after SIGTERM fails, every stream gets a last event, and the end is a 0', async () => {
  const upstream = await startTranscriptUpstream()
  const server = await startServer({
    env: { OPENAI_BASE_URL: upstream.baseUrl, DAEHWA_CONTEXT_WINDOW: '1000000' },
  })
  const client = clientOf(server.url)
  upstream.faults.push({ stallAfter: 2 }, { say: 'in time', delay: 15_000 })
  const { body } = await client.query('a', 'hi', { background: true })
  const stuck = readEvents(`${server.url}/turns/${body.id}/events`)
  const waiting = client.query('a', 'waiting')
  await upstream.arrived(1)
  const inTime = client.query('b', 'hi')
  await upstream.arrived(2)
  upstream.faultAt = () => ({ stallAfter: 2 }) // many long ones besides, whose tokens nobody has counted
  for (let n = 0; n < 150; n++) await client.query(`c${n}`, long, { background: true })
  await upstream.arrived(152)
  const begin = performance.now()
  const ended = server.end('SIGTERM')
  expect((await inTime).body.response).toBe('in time')
  const { events, done } = await stuck
  expect(done).toBe(true)
  expect(events.at(-1)?.data).toMatchObject({ response: { error: { code: 'server_shutting_down' } } })
  expect([(await waiting).status, (await waiting).body.code]).toEqual([503, 'server_shutting_down'])
  expect(await ended).toBe(0)
  const took = performance.now() - begin
  expect(took).toBeGreaterThan(19_500)
  expect(took).toBeLessThan(25_000)
  const again = clientOf((await startServer({ dataDir: server.dataDir })).url)
  expect((await again.send('GET', `/turns/${body.id}`)).body).toMatchObject({ status: 'failed' })
  expect((await again.history('a')).body).toEqual([])
}, 60_000)
