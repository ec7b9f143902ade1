import { readdirSync, readFileSync, statSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Agent, request } from 'undici'
import { expect, it, onTestFinished } from 'vitest'
import { clientOf } from '../support/client.ts'
import { length } from '../support/full-length.ts'
import { startMeasured } from '../support/start-measured.ts'

const mb = 1024 * 1024
const operatorKey = 'operator-key-0123456789'
const samples = 20

/** An upstream that says the same to all, and keeps nothing. */
async function startBareUpstream(): Promise<string> {
  const piece = (delta: object, finish_reason: string | null) =>
    `data: ${JSON.stringify({ model: 'bare', choices: [{ index: 0, delta, finish_reason }] })}\n\n`
  const usage = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 }
  const answer = `${piece({ content: 'It is ' }, null)}${piece({ content: 'an ordinary day.' }, null)}${piece({}, 'stop')}data: ${JSON.stringify({ model: 'bare', choices: [], usage })}\n\ndata: [DONE]\n\n`
  const server = createServer((asked, reply) => {
    asked.resume().once('end', () => {
      if (asked.method === 'GET') reply.end(JSON.stringify({ data: [{ id: 'bare', object: 'model' }] }))
      else reply.writeHead(200, { 'content-type': 'text/event-stream' }).end(answer)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
}

/** What bots do: they ask, read along, hang up, ask again with a key, look back, and begin anew. */
function nthThing(n: number, name: string, letters: number) {
  const query = { path: '/query', method: 'POST' as const }
  const ask = { input: `what is day ${n} like?`.padEnd(letters, ' And the next?'), client_name: name }
  if (n % 100 === 1) return { path: `/history?client_name=${name}`, method: 'DELETE' as const }
  if (n % 50 === 2) return { path: `/history?client_name=${name}`, method: 'GET' as const }
  if (n % 10 === 3) return { ...query, body: { ...ask, stream: true } }
  if (n % 10 === 4) return { ...query, body: ask, key: `key-${n}` }
  if (n % 50 === 5)
    return { ...query, body: { ...ask, stream: true, on_disconnect: 'cancel' }, hangsUp: true }
  return { ...query, body: ask }
}

interface Sample {
  readonly held: number
  readonly rss: number
  readonly files: number
  readonly log: number
}

it('promise 24: over many turns memory, file handles and the write-ahead log stay flat', async () => {
  const turns = length('turns', { full: 200_000, short: 6_000 })
  // In full what is remembered of histories, which grow to the end, has come to its bound (40 MiB) before anything is compared.
  // Longer ones would be summarised toward the end, which opens more connections.
  const letters = length('letters of each message', { full: 700, short: 0 })
  const server = await startMeasured({
    OPENAI_BASE_URL: await startBareUpstream(),
    DAEHWA_API_KEY: operatorKey,
  })
  const operator = clientOf(server.url, { authorization: `Bearer ${operatorKey}` })
  const limits = { requests_per_minute: 1e9, turns_at_once: 1_000, tokens_per_day: 1e12 }
  const made = await operator.send('POST', '/admin/keys', { tenant: 'acme', ...limits })
  const agent = new Agent({ connections: 32 })
  onTestFinished(() => agent.destroy())
  const clients = turns / 20

  const send = async (n: number) => {
    const {
      path,
      method,
      body,
      key,
      hangsUp,
    }: ReturnType<typeof nthThing> & {
      body?: object
      key?: string
      hangsUp?: boolean
    } = nthThing(n, `client${n % clients}`, letters)
    const reply = await request(server.url + path, {
      ...{ dispatcher: agent, method, ...(body && { body: JSON.stringify(body) }) },
      headers: {
        authorization: `Bearer ${made.body.key}`,
        ...(body && { 'content-type': 'application/json' }),
        ...(key && { 'idempotency-key': key }),
      },
    })
    if (reply.statusCode !== 200) throw new Error(`${method} ${path}: ${await reply.body.text()}`)
    if (hangsUp) reply.body.on('error', () => {}).destroy()
    else await reply.body.dump({ limit: mb })
  }
  const run = async (from: number, to: number) => {
    let next = from
    const worker = async () => {
      for (let n = next++; n < to; n = next++) await send(n)
    }
    await Promise.all(Array.from({ length: 32 }, worker))
  }
  const sample = async (): Promise<Sample> => ({
    held: await server.held(),
    rss:
      Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${server.process.pid}/status`, 'utf8'))?.[1]) * 1024,
    files: readdirSync(`/proc/${server.process.pid}/fd`).length,
    log: statSync(join(server.dataDir, 'daehwa.db-wal')).size,
  })

  const all: Sample[] = []
  for (let part = 0; part < samples; part++) {
    await run((part * turns) / samples, ((part + 1) * turns) / samples)
    const now = await sample()
    all.push(now)
    const shown = [now.held, now.rss, now.log].map((bytes) => (bytes / mb).toFixed(1))
    process.stderr.write(
      `${((part + 1) * turns) / samples} turns: ${shown[0]} MB held, ${shown[1]} MB resident, ${now.files} files open, log ${shown[2]} MB\n`,
    )
  }
  // Half of it is to warm up: caches fill, and the machine finds its pace.
  const most = (what: keyof Sample, part: readonly Sample[]) => Math.max(...part.map((one) => one[what]))
  const [before, after] = [all.slice(samples / 4, samples / 2), all.slice(samples / 2)]
  expect(most('held', after)).toBeLessThan(most('held', before) * 1.1 + mb)
  expect(most('rss', after)).toBeLessThan(most('rss', before) * 1.15 + 10 * mb)
  expect(most('files', after)).toBeLessThanOrEqual(most('files', before) + 4)
  expect(most('log', after)).toBeLessThan(Math.max(most('log', before) * 1.25, 16 * mb))
}, 3_600_000)
