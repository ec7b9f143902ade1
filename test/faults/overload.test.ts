import { readFileSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { Agent, request } from 'undici'
import { expect, it, onTestFinished } from 'vitest'
import { clientOf } from '../support/client.ts'
import { readEvents, textOf } from '../support/events.ts'
import { type RunningServer, startServer, temporaryDir } from '../support/start-server.ts'
import { startTranscriptUpstream } from '../support/transcript-upstream.ts'

const mb = 1024 * 1024

const residentOf = (server: RunningServer): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${server.process.pid}/status`, 'utf8'))?.[1]) * 1024

it('promise 20: two hundred streams at once are all told whole', async () => {
  const upstream = await startTranscriptUpstream()
  upstream.faultAt = () => ({ say: Array.from({ length: 30 }, (_, n) => `word${n} `).join(''), pause: 40 })
  const { url } = await startServer({ env: { OPENAI_BASE_URL: upstream.baseUrl } })
  const streams = Array.from({ length: 200 }, (_, n) =>
    readEvents(`${url}/query`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ input: 'hi', client_name: `client ${n}`, stream: true }),
    }),
  )
  for (const { events, done } of await Promise.all(streams)) {
    expect([done, events.at(-1)?.event]).toEqual([true, 'response.completed'])
    expect(textOf(events)).toMatch(/^word0 .* word29 $/)
  }
}, 60_000)

it('promise 20: two thousand idle event streams cost at most 80 MB', async () => {
  const upstream = await startTranscriptUpstream()
  const server = await startServer({ env: { OPENAI_BASE_URL: upstream.baseUrl } })
  upstream.faultAt = () => ({ say: 'one two three ', stallAfter: 2 })
  const client = clientOf(server.url)
  for (let n = 0; n < 20; n++) await client.history(`warm ${n}`)
  const { body } = await client.query('a', 'hi', { background: true })
  await upstream.arrived(1)
  const before = residentOf(server)
  const sockets: Socket[] = []
  onTestFinished(() => sockets.forEach((socket) => void socket.destroy()))
  let told = 0
  const port = Number(new URL(server.url).port)
  for (let n = 0; n < 2_000; n++) {
    const socket = connect(port, '127.0.0.1')
    sockets.push(socket)
    socket.on('error', () => {}).once('data', () => told++)
    socket.write(`GET /turns/${body.id}/events HTTP/1.1\r\nhost: localhost\r\n\r\n`)
    if (n % 100 === 99) await expect.poll(() => told, { timeout: 10_000 }).toBe(n + 1)
  }
  await wait(1_000)
  const grown = residentOf(server) - before
  process.stderr.write(`2,000 idle streams: ${(grown / mb).toFixed(1)} MB more\n`)
  expect(grown).toBeLessThan(80 * mb)
  expect((await client.send('POST', `/turns/${body.id}/cancel`)).status).toBe(200)
}, 60_000)

it('promise 22: of ten times the load it can carry it refuses what is too much, and loses and holds up nothing', async () => {
  const upstream = await startTranscriptUpstream()
  upstream.faultAt = () => ({ delay: 500 })
  const limit = 25 // so that it can carry fifty in a second
  const env = { OPENAI_BASE_URL: upstream.baseUrl, DAEHWA_MAX_TURNS: `${limit}` }
  const { url } = await startServer({ env })
  const agent = new Agent({ connections: 1_000 })
  onTestFinished(() => agent.destroy())
  const seconds = 4
  const replies: {
    status: number
    code: string | undefined
    name: string
    after: string | undefined
    ms: number
  }[] = []
  const send = async (n: number) => {
    const begin = performance.now()
    const name = `client ${n}`
    const reply = await request(`${url}/query`, {
      ...{ dispatcher: agent, method: 'POST', headers: { 'content-type': 'application/json' } },
      body: JSON.stringify({ input: `message ${n}`, client_name: name }),
    })
    const { code } = (await reply.body.json()) as { code?: string }
    const ms = performance.now() - begin
    replies.push({
      status: reply.statusCode,
      code,
      name,
      after: reply.headers['retry-after']?.toString(),
      ms,
    })
  }
  const client = clientOf(url)
  const probes: number[] = []
  const probe = async () => {
    const begin = performance.now()
    expect((await client.send('GET', '/healthz')).status).toBe(200)
    expect((await client.clear('nobody')).status).toBe(200)
    expect((await client.send('POST', '/turns/resp_none/cancel')).status).toBe(404)
    probes.push(performance.now() - begin)
  }
  const sent: Promise<void>[] = []
  for (let tick = 0; tick < seconds * 20; tick++) {
    for (let n = 0; n < 25; n++) sent.push(send(tick * 25 + n))
    if (tick % 5 === 0) sent.push(probe())
    await wait(50)
  }
  await Promise.all(sent)
  const refused = replies.filter(({ status }) => status !== 200)
  const answered = replies.filter(({ status }) => status === 200)
  process.stderr.write(
    `${replies.length} sent, ${answered.length} answered, ${refused.length} refused; slowest probe ${Math.max(...probes).toFixed(0)} ms\n`,
  )
  expect(
    refused.every(({ status, code, after }) => status === 503 && code === 'overloaded' && after === '2'),
  ).toBe(true)
  expect(answered.length).toBeGreaterThan(seconds * limit)
  expect(refused.length).toBeGreaterThan(replies.length / 2)
  expect(Math.max(...probes)).toBeLessThan(1_500)
  for (const { name } of answered.slice(0, 20)) expect((await client.history(name)).body).toHaveLength(2)
  for (const { name } of refused.slice(0, 20)) expect((await client.history(name)).body).toEqual([])
  expect((await client.query('later', 'hi')).status).toBe(200)
}, 60_000)

it('promise 22: a process that is late refuses new messages, and goes on with the rest', async () => {
  const upstream = await startTranscriptUpstream()
  const preload = join(temporaryDir(), 'busy.mjs')
  writeFileSync(
    preload,
    `process.on('SIGUSR2', () => {
       const until = performance.now() + 8_000
       const busy = () => {
         const begin = performance.now()
         while (performance.now() - begin < 800);
         if (begin < until) setTimeout(busy, 1)
       }
       busy()
     })`,
  )
  const server = await startServer({
    env: { OPENAI_BASE_URL: upstream.baseUrl, NODE_OPTIONS: `--import file://${preload}` },
  })
  const client = clientOf(server.url)
  upstream.faults.push({ stallAfter: 2 })
  const { body } = await client.query('민수', 'hi', { background: true })
  server.process.kill('SIGUSR2')
  await wait(3_500)
  const refused = await client.query('지수', 'hi')
  expect(refused).toMatchObject({ status: 503, body: { code: 'overloaded' } })
  expect(refused.headers.get('retry-after')).toBe('2')
  expect((await client.send('GET', '/healthz')).status).toBe(200)
  expect((await client.send('POST', `/turns/${body.id}/cancel`)).status).toBe(200)
  expect((await client.clear('민수')).status).toBe(200)
  await expect.poll(async () => (await client.query('지수', 'hi')).status, { timeout: 10_000 }).toBe(200)
}, 30_000)

it('a process that was busy once for a moment refuses nobody', async () => {
  const upstream = await startTranscriptUpstream()
  const preload = join(temporaryDir(), 'busy.mjs')
  writeFileSync(
    preload,
    `process.on('SIGUSR2', () => {
       const begin = performance.now()
       while (performance.now() - begin < 1_500);
     })`,
  )
  const server = await startServer({
    env: { OPENAI_BASE_URL: upstream.baseUrl, NODE_OPTIONS: `--import file://${preload}` },
  })
  const client = clientOf(server.url)
  server.process.kill('SIGUSR2')
  const statuses = await Promise.all(
    Array.from({ length: 20 }, async (_, n) => {
      await wait(100 * n)
      return (await client.query(`client ${n}`, 'hi')).status
    }),
  )
  expect(new Set(statuses)).toEqual(new Set([200]))
})

it('promise 23: five hundred who send their headers slowly are cut in 15 seconds, and hold up nobody', async () => {
  const server = await startServer()
  const port = Number(new URL(server.url).port)
  const begin = performance.now()
  const closed: number[] = []
  const beats: NodeJS.Timeout[] = []
  onTestFinished(() => beats.forEach(clearInterval))
  for (let n = 0; n < 500; n++) {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {}).once('close', () => closed.push(performance.now() - begin))
    socket.resume()
    if (n % 2 === 1) continue // says nothing at all
    socket.write('GET /healthz HTTP/1.1\r\nhost: localhost\r\n')
    beats.push(setInterval(() => !socket.destroyed && socket.write(`x-${n}: slow\r\n`), 1_000))
  }
  await wait(2_000)
  const asked = performance.now()
  expect((await clientOf(server.url).query('민수', 'hi')).status).toBe(200)
  expect(performance.now() - asked).toBeLessThan(2_000)
  await expect.poll(() => closed.length, { timeout: 20_000, interval: 100 }).toBe(500)
  process.stderr.write(`the last of 500 was cut after ${(Math.max(...closed) / 1000).toFixed(1)} s\n`)
  expect(Math.max(...closed)).toBeLessThan(15_000)
}, 40_000)

it('promise 23: a connection that is kept alive is kept for 65 seconds', async () => {
  const server = await startServer()
  const reply = await fetch(`${server.url}/healthz`)
  expect(reply.headers.get('keep-alive')).toBe('timeout=65')
})
