import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as wait } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { clientOf } from '../support/client.ts'
import { startFaultProxy } from '../support/fault-proxy.ts'
import { length } from '../support/full-length.ts'
import { checkHistory, type Operation } from '../support/history-checker.ts'
import { namedPoints } from '../support/named-points.ts'
import { type RunningServer, startServer, temporaryDir } from '../support/start-server.ts'
import { startTranscriptUpstream } from '../support/transcript-upstream.ts'

const minute = 60_000

/** Asks and sometimes clears, as fast as it is answered, until the server is gone. */
async function work(server: RunningServer, name: string, operations: Operation[]): Promise<void> {
  const client = clientOf(server.url)
  for (;;) {
    const clears = Math.random() < 0.1
    const input = `${name} ${randomUUID()}`
    const reply = await (clears ? client.clear(name) : client.query(name, input)).catch(() => undefined)
    const answered = reply?.status === 200
    if (clears) operations.push({ kind: 'delete', answered })
    else operations.push({ kind: 'query', input, answer: answered ? reply.body.response : undefined })
    if (reply === undefined) return
  }
}

describe('promise 2: SIGKILL', () => {
  it(
    'at random, again and again, under eight clients: nothing is lost, doubled or invented',
    async () => {
      const kills = length('kills', { full: 200, short: 8 })
      const upstream = await startTranscriptUpstream()
      // Each context has to be all that was said before, however much that is by chance.
      const env = { OPENAI_BASE_URL: upstream.baseUrl, DAEHWA_CONTEXT_WINDOW: '1000000' }
      const options = { dataDir: temporaryDir(), env }
      const names = Array.from({ length: 8 }, (_, n) => `client ${n}`)
      const told = new Map(names.map((name) => [name, [] as Operation[]]))
      let slowest = 0
      for (let kill = 0; kill < kills; kill++) {
        const begin = performance.now()
        const server = await startServer(options)
        await clientOf(server.url).send('GET', '/readyz')
        slowest = Math.max(slowest, performance.now() - begin)
        const working = names.map((name) => work(server, name, told.get(name) ?? []))
        await wait(50 + Math.random() * 450)
        await server.end('SIGKILL')
        await Promise.all(working)
      }
      expect(slowest).toBeLessThan(3_000)

      const server = await startServer(options)
      const client = clientOf(server.url)
      let answered = 0
      for (const name of names) {
        const last = await client.query(name, `${name} last`) // comes after all that waited
        expect(last.status, last.text).toBe(200)
        const operations = told.get(name) ?? []
        operations.push({ kind: 'query', input: `${name} last`, answer: last.body.response })
        answered += operations.filter((op) => op.kind === 'query' && op.answer !== undefined).length
        const asked = upstream.journal.map(({ messages }) => messages.at(-1)?.content ?? '')
        const history = (await client.history(name)).body
        expect(checkHistory({ operations, history, asked, retries: 2 })).toEqual([])
      }
      process.stderr.write(`${answered} answered queries, slowest start ${Math.round(slowest)} ms\n`)
      expect(answered).toBeGreaterThan(kills)
      expect(await server.end('SIGTERM')).toBe(0)
      const database = new DatabaseSync(join(options.dataDir, 'daehwa.db'))
      expect(database.prepare('PRAGMA integrity_check').get()).toEqual({ integrity_check: 'ok' })
      const open = "SELECT count(*) AS open FROM turns WHERE status IN ('queued', 'in_progress')"
      expect(database.prepare(open).get()).toEqual({ open: 0 })
      database.close()
    },
    15 * minute,
  )

  it.each(Object.entries(namedPoints))(
    '%s: what was committed is there once, what was not is nowhere',
    async (_, bring) => {
      const upstream = await startTranscriptUpstream()
      const options = { dataDir: temporaryDir(), env: { OPENAI_BASE_URL: upstream.baseUrl } }
      const first = await startServer(options)
      const proxy = await startFaultProxy(first.url)
      proxy.fault.halfOpenAfter = 0 // what is on its way to this client never arrives
      await clientOf(first.url).query('a', 'before')
      const { input, reply, committed } = await bring(clientOf(first.url), 'a', upstream, clientOf(proxy.url))
      await first.end('SIGKILL')
      expect(await reply).toBeUndefined()

      const client = clientOf((await startServer(options)).url)
      const next = await client.query('a', 'next')
      expect(next.status).toBe(200)
      const said = (await client.history('a')).body.map(({ content }: { content: string }) => content)
      const kept = committed || input === 'waiting' // one that waited is answered after the restart
      expect(said.filter((_text: string, n: number) => n % 2 === 0)).toEqual(
        kept ? ['before', input, 'next'] : ['before', 'next'],
      )
      const sent = upstream.journal.filter(({ messages }) => messages.at(-1)?.content === input)
      expect(sent).toHaveLength(1)
    },
  )
})

describe('promise 10: DELETE', () => {
  it.each(Object.entries(namedPoints))('%s: it is gone at once, and does not come back', async (_, bring) => {
    const upstream = await startTranscriptUpstream()
    const options = { dataDir: temporaryDir(), env: { OPENAI_BASE_URL: upstream.baseUrl } }
    const first = await startServer(options)
    const proxy = await startFaultProxy(first.url)
    proxy.fault.latency = 300
    const client = clientOf(first.url)
    await client.query('a', 'before')
    const { reply, committed } = await bring(client, 'a', upstream, clientOf(proxy.url))
    const begin = performance.now()
    expect((await client.clear('a')).status).toBe(200)
    expect(performance.now() - begin).toBeLessThan(500)
    expect((await client.history('a')).body).toEqual([])
    expect((await reply)?.status).toBe(committed ? 200 : 410)
    expect((await client.query('a', 'after')).status).toBe(200)
    expect(upstream.journal.at(-1)?.messages).toEqual([{ role: 'user', content: 'after' }])
    await first.end('SIGKILL')
    const again = clientOf((await startServer(options)).url)
    const said = (await again.history('a')).body.map(({ content }: { content: string }) => content)
    expect([said.length, said[0]]).toEqual([2, 'after'])
  })
})
