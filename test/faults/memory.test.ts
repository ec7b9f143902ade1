import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { expect, it, onTestFinished } from 'vitest'
import { clientOf } from '../support/client.ts'
import { length } from '../support/full-length.ts'
import { startMeasured } from '../support/start-measured.ts'
import { type RunningServer, startServer } from '../support/start-server.ts'
import { startTranscriptUpstream } from '../support/transcript-upstream.ts'

const mb = 1024 * 1024

/** The most memory that a server ever had, in bytes. */
function peakOf(server: RunningServer): number {
  const status = readFileSync(`/proc/${server.process.pid}/status`, 'utf8')
  return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) * 1024
}

it('promise 19: an answer of 100 MB is cut at 8 MiB, and memory grows by less than 50 MB', async () => {
  const upstream = await startTranscriptUpstream()
  const server = await startMeasured({
    OPENAI_BASE_URL: upstream.baseUrl,
    DAEHWA_CONTEXT_WINDOW: '100000000',
  })
  const client = clientOf(server.url)
  upstream.faults.push({ usage: null }) // it counts, for which it loads what it counts with
  for (let n = 0; n < 300; n++) await client.query(`warm ${n % 10}`, 'an ordinary day')
  upstream.faults.push({ say: '가나다라마바사아자차 '.repeat(300), repeat: 11_000 })
  const [before, peakBefore] = [await server.held(), peakOf(server)]
  const reply = await client.query('b', 'hi')
  const grown = peakOf(server) - peakBefore
  process.stderr.write(`at its peak memory grew by ${Math.round(grown / mb)} MB\n`)
  expect(grown).toBeLessThan(50 * mb)
  expect((await server.held()) - before).toBeLessThan(5 * mb)
  expect([reply.status, reply.body.incomplete]).toEqual([200, 'max_output_bytes'])
  expect(Buffer.byteLength(reply.body.response)).toBeGreaterThan(8 * mb - 3)
  expect(Buffer.byteLength(reply.body.response)).toBeLessThanOrEqual(8 * mb)
  await expect.poll(() => upstream.journal.at(-1)?.closedEarly).toBe(true)
}, 60_000)

it('promise 21: fifty readers who do not read are cut, and their turn completes', async () => {
  const megabytes = length('megabytes for each reader', { full: 20, short: 20 })
  const upstream = await startTranscriptUpstream()
  const server = await startServer({ env: { OPENAI_BASE_URL: upstream.baseUrl } })
  upstream.faults.push({ say: `${'x'.repeat(1_000)} `, repeat: 5_000, pause: 1 })
  const { body } = await clientOf(server.url).query('a', 'hi', { background: true })
  const before = peakOf(server)
  const readers = Array.from({ length: 50 }, () => stalledReader(server, `/turns/${body.id}/events`))
  await expect
    .poll(async () => (await clientOf(server.url).send('GET', `/turns/${body.id}`)).body.status, {
      timeout: 60_000,
    })
    .toBe('completed')
  await expect.poll(() => readers.every((reader) => reader.cut()), { timeout: 20_000 }).toBe(true)
  const grown = peakOf(server) - before
  expect(grown).toBeLessThan(150 * mb)
  process.stderr.write(
    `at its peak memory grew by ${Math.round(grown / mb)} MB, ${megabytes} MB for each reader\n`,
  )
  expect((await clientOf(server.url).history('a')).body).toHaveLength(2)
}, 120_000)

/** Asks for events and then takes nothing. */
function stalledReader(server: RunningServer, path: string): { cut(): boolean } {
  const socket: Socket = connect(Number(new URL(server.url).port), '127.0.0.1')
  socket.on('error', () => {}).pause()
  socket.write(`GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`)
  onTestFinished(() => void socket.destroy())
  const hex = (port: number | undefined) => port?.toString(16).toUpperCase().padStart(4, '0')
  const ends = () => ` 0100007F:${hex(socket.remotePort)} 0100007F:${hex(socket.localPort)} `
  let seen = ''
  return {
    // What a paused socket does not notice the system knows: on the server's side it is open no more (01).
    cut() {
      if (socket.remotePort !== undefined) seen = ends()
      const line = readFileSync('/proc/net/tcp', 'utf8')
        .split('\n')
        .find((entry) => entry.includes(seen))
      return seen !== '' && line?.split(seen)[1]?.slice(0, 2) !== '01'
    },
  }
}

it('promise 10: a slow reader is told no more of an answer that was cleared', async () => {
  const upstream = await startTranscriptUpstream()
  const server = await startServer({ env: { OPENAI_BASE_URL: upstream.baseUrl } })
  const client = clientOf(server.url)
  upstream.faults.push({ say: `${'x'.repeat(1_000)} `, repeat: 8_000 })
  const { turn_id } = (await client.query('a', 'hi')).body
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1').pause()
  onTestFinished(() => void socket.destroy())
  socket.on('error', () => {}).write(`GET /turns/${turn_id}/events HTTP/1.1\r\nhost: localhost\r\n\r\n`)
  await wait(500)
  expect((await client.clear('a')).status).toBe(200)
  let received = 0
  let end = ''
  socket.on('data', (bytes) => {
    received += bytes.length
    end = bytes.toString()
  })
  socket.resume()
  await new Promise((resolve) => socket.once('close', resolve))
  process.stderr.write(`${Math.round(received / mb)} MB had left before, of ${5 * 8}\n`)
  expect(received).toBeLessThan(20 * mb) // what was in the buffers of the system
  expect(end).not.toContain('[DONE]')
}, 30_000)
