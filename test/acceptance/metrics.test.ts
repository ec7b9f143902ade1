import { expect, it } from 'vitest'
import { clientOf } from '../support/client.ts'
import { metricsOf } from '../support/metrics-page.ts'
import { startServer } from '../support/start-server.ts'
import { startTranscriptUpstream } from '../support/transcript-upstream.ts'

const key = 'operator-key-0123456789'

async function turnsAt(url: string, headers?: Record<string, string>) {
  const { samples } = await metricsOf(url, headers)
  return [samples.get('daehwa_turns_running'), samples.get('daehwa_turns_waiting')]
}

it('counts the turns that run and wait here until they have ended, and shows no name and no word', async () => {
  const upstream = await startTranscriptUpstream()
  const server = await startServer({ env: { OPENAI_BASE_URL: upstream.baseUrl } })
  const client = clientOf(server.url)
  expect(await turnsAt(server.url)).toEqual([0, 0])
  upstream.faults.push({ stallAfter: 1 }, { stallAfter: 1 }, { status: 400 })
  const first = await client.query('canary-name', 'canary-said', { background: true })
  await client.query('other', 'canary-said', { background: true })
  await upstream.arrived(2)
  const waiting = await client.query('canary-name', 'canary-said', { background: true })
  expect(await turnsAt(server.url)).toEqual([2, 1])
  const { text } = await metricsOf(server.url)
  expect(text).not.toMatch(/canary|other|resp_|conv_/)
  expect(server.output()).not.toContain('/metrics') // or a log would be full of it

  await client.send('POST', `/turns/${first.body.id}/cancel`)
  await expect
    .poll(async () => (await client.send('GET', `/turns/${waiting.body.id}`)).body.status)
    .toBe('failed')
  expect(await turnsAt(server.url)).toEqual([1, 0])
  await client.clear('other')
  await expect.poll(() => turnsAt(server.url)).toEqual([0, 0])
})

it('tells of the process, as Prometheus reads it, with labels that do not grow with use', async () => {
  const server = await startServer()
  const { type, samples } = await metricsOf(server.url)
  expect(type).toBe('text/plain; version=0.0.4; charset=utf-8')
  for (const name of ['process_cpu_seconds_total', 'process_resident_memory_bytes'])
    expect(samples.get(name), name).toBeGreaterThan(0)
  for (let n = 0; n < 5; n++) await clientOf(server.url).query(`name ${n}`, 'hi')
  const after = await metricsOf(server.url)
  const labels = [...after.samples.keys()].flatMap((name) => [...name.matchAll(/(\w+)="/g)].map(([, l]) => l))
  const process = ['kind', 'le', 'major', 'minor', 'patch', 'space', 'type', 'version']
  const ours = ['code', 'direction', 'method', 'outcome', 'route', 'status', 'upstream']
  const allowed = [...process, ...ours]
  expect(allowed).toEqual(expect.arrayContaining([...new Set(labels)]))
})

it('asks for the key where one is set', async () => {
  const server = await startServer({ env: { DAEHWA_API_KEY: key } })
  expect((await metricsOf(server.url)).status).toBe(401)
  expect((await metricsOf(server.url, { authorization: 'Bearer wrong' })).status).toBe(401)
  expect(await turnsAt(server.url, { authorization: `Bearer ${key}` })).toEqual([0, 0])
})

it('goes on while the server finishes what it is answering', async () => {
  const upstream = await startTranscriptUpstream()
  const env = { OPENAI_BASE_URL: upstream.baseUrl, DAEHWA_API_KEY: key }
  const server = await startServer({ env })
  const headers = { authorization: `Bearer ${key}` }
  upstream.faults.push({ delay: 1_500 })
  const running = clientOf(server.url, headers).query('a', 'hi')
  await upstream.arrived(1)
  const ended = server.end('SIGTERM')
  await expect.poll(async () => (await fetch(`${server.url}/readyz`)).status).toBe(503)
  expect(await turnsAt(server.url, headers)).toEqual([1, 0])
  expect((await metricsOf(server.url)).status).toBe(401)
  expect((await running).status).toBe(200)
  expect(await ended).toBe(0)
})
