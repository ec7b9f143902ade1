import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import fc from 'fast-check'
import { Agent, request } from 'undici'
import { expect, it, onTestFinished } from 'vitest'
import { clientOf } from '../support/client.ts'
import { length } from '../support/full-length.ts'
import { brokenRequests, type FuzzedRequest, fuzzedRequests } from '../support/fuzz.ts'
import { postgresForTests } from '../support/start-postgres.ts'
import { startServer } from '../support/start-server.ts'
import { startTranscriptUpstream } from '../support/transcript-upstream.ts'

const mb = 1024 * 1024
const postgres = postgresForTests()

it.each([
  ['SQLite', { full: 100_000, short: 3_000 }, async () => ({}) as Record<string, string>],
  [
    'Postgres',
    { full: 20_000, short: 1_000 },
    async () => ({ DATABASE_URL: await postgres.newDatabase() }) as Record<string, string>,
  ],
])(
  'promise 31: of many requests that are wrong in every way none is a 500, and none ends the process, on %s',
  async (database, lengths, settings) => {
    const count = length(`requests on ${database}`, lengths)
    const seed = Number(process.env['FUZZ_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
    process.stderr.write(`seed: ${seed} (again: FUZZ_SEED=${seed})\n`)
    const upstream = await startTranscriptUpstream()
    const server = await startServer({
      env: { ...(await settings()), OPENAI_BASE_URL: upstream.baseUrl },
    })
    const client = clientOf(server.url)
    const { paths } = (await client.send('GET', '/openapi.json')).body as { paths: Record<string, object> }
    const routes = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    )
    const agent = new Agent({ connections: 16, headersTimeout: 20_000, bodyTimeout: 20_000 })
    onTestFinished(() => agent.destroy())
    const statuses = new Map<number, number>()
    const told: string[] = []

    const send = async ({ method, path, headers, body }: FuzzedRequest) => {
      const sent = { dispatcher: agent, method: method as 'GET', headers, ...(body && { body }) }
      const reply = await request(server.url + path, sent).catch((error: Error) => {
        if (server.process.exitCode !== null) throw error
        return undefined // what undici itself refuses to send, or a connection that was closed on a broken request
      })
      if (reply === undefined) return
      const text = await reply.body.text().catch(() => '')
      const status = reply.statusCode
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
      if (
        status === 500 ||
        (status >= 400 &&
          !/^\{"error":".+","code":"\w+","request_id":"[^"]+"\}$/s.test(text) &&
          method !== 'HEAD')
      )
        told.push(`${status} ${text.slice(0, 200)} to ${method} ${path} ${JSON.stringify(headers)} ${body}`)
    }
    const sendRaw = (bytes: Buffer) =>
      new Promise<void>((resolve) => {
        const socket = connect(Number(new URL(server.url).port), '127.0.0.1', () => socket.end(bytes))
        let reply = ''
        socket.setTimeout(3_000, () => socket.destroy()).on('error', () => {})
        socket.on('data', (chunk) => {
          reply += chunk.toString('latin1')
        })
        socket.once('close', () => {
          if (/^HTTP\/1\.1 500/.test(reply))
            told.push(`${reply.slice(0, 300)} to ${JSON.stringify(bytes.toString('latin1'))}`)
          resolve()
        })
      })

    const batch = 500
    for (let done = 0; done < count; done += batch) {
      const requests = fc.sample(fuzzedRequests(routes), { numRuns: batch, seed: seed + done })
      const broken = fc.sample(brokenRequests, { numRuns: batch / 20, seed: seed + done })
      let next = 0
      const worker = async () => {
        for (let one = requests[next++]; one !== undefined; one = requests[next++]) await send(one)
      }
      await Promise.all([...Array.from({ length: 16 }, worker), ...broken.map(sendRaw)])
      upstream.journal.length = 0
      if (told.length > 0 || server.process.exitCode !== null) break
      if (done % 20_000 === 0 && done > 0) process.stderr.write(`${done} of ${count} requests\n`)
    }
    const seen = [...statuses].toSorted(([a], [b]) => a - b).map(([status, times]) => `${status}: ${times}`)
    process.stderr.write(`${seen.join(', ')}\n`)
    expect(told.slice(0, 5)).toEqual([])
    expect(server.process.exitCode).toBeNull()
    expect(server.output()).not.toMatch(/internal error|"level":60|"level":"fatal"/)
    for (const status of [200, 400, 404, 415])
      expect(statuses.get(status), `${status}`).toBeGreaterThan(count / 500)
    const peak =
      Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${server.process.pid}/status`, 'utf8'))?.[1]) * 1024
    process.stderr.write(`at its peak the process had ${Math.round(peak / mb)} MB\n`)
    expect(peak).toBeLessThan(512 * mb)
    expect((await client.send('GET', '/readyz')).status).toBe(200)
    expect((await client.query('after all', 'hi')).status).toBe(200)
    expect(await server.end('SIGTERM')).toBe(0)
  },
  1_200_000,
)
