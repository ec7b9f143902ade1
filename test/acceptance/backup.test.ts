import { randomUUID } from 'node:crypto'
import {
  chownSync,
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as wait } from 'node:timers/promises'
import { expect, it, onTestFinished } from 'vitest'
import { clientOf } from '../support/client.ts'
import { length } from '../support/full-length.ts'
import { checkHistory, type HistoryMessage, type Operation } from '../support/history-checker.ts'
import { runCommand } from '../support/run-command.ts'
import { postgresForTests } from '../support/start-postgres.ts'
import { startServer, temporaryDir } from '../support/start-server.ts'
import { needsTool } from '../support/tools.ts'
import { startTranscriptUpstream } from '../support/transcript-upstream.ts'

const postgres = postgresForTests()

/** What one client did, and how much of it was answered when a backup began and when it was over. */
interface Worker {
  readonly name: string
  readonly operations: Operation[]
  /** What is asked and not answered yet. */
  open: Operation | undefined
}

async function work(client: ReturnType<typeof clientOf>, worker: Worker, signal: AbortSignal): Promise<void> {
  const { name, operations } = worker
  while (!signal.aborted) {
    const input = `${name} ${randomUUID()}`
    const clears = Math.random() < 0.05
    worker.open = clears ? { kind: 'delete', answered: false } : { kind: 'query', input, answer: undefined }
    const reply = clears ? await client.clear(name) : await client.query(name, input)
    expect(reply.status, reply.text).toBe(200)
    operations.push(
      clears ? { kind: 'delete', answered: true } : { kind: 'query', input, answer: reply.body.response },
    )
  }
}

/** What is wrong with a history, should it be that after the first `count` operations and perhaps the next one. */
function faultsAfter(
  { operations, open }: Pick<Worker, 'operations' | 'open'>,
  count: number,
  history: readonly HistoryMessage[],
): string[] {
  const next = operations[count] ?? open
  const maybe: Operation[] =
    next === undefined
      ? []
      : [next.kind === 'query' ? { ...next, answer: undefined } : { ...next, answered: false }]
  return checkHistory({
    operations: [...operations.slice(0, count), ...maybe],
    history,
    asked: [],
    retries: 0,
  })
}

it('promise 5: a backup under load restores elsewhere to all that was committed at one moment', async () => {
  const upstream = await startTranscriptUpstream()
  const env = { OPENAI_BASE_URL: upstream.baseUrl, DAEHWA_CONTEXT_WINDOW: '1000000' }
  const server = await startServer({ env })
  const workers: Worker[] = Array.from({ length: 8 }, (_, n) => ({
    ...{ name: `client ${n}`, operations: [], open: undefined },
  }))
  const done = new AbortController()
  const working = workers.map((worker) => work(clientOf(server.url), worker, done.signal))
  const counts = () => workers.map(({ operations }) => operations.length)
  const dir = temporaryDir()
  const backups: { file: string; from: number[]; to: number[]; open: (Operation | undefined)[] }[] = []
  const times = length('backups under load', { full: 30, short: 3 })
  for (let n = 0; n < times; n++) {
    await wait(300)
    const file = join(dir, `${n}.db`)
    const from = counts()
    const { code, err } = await runCommand(['backup', file], { DAEHWA_URL: server.url })
    expect(code, err).toBe(0)
    backups.push({ file, from, to: counts(), open: workers.map(({ open }) => open) })
  }
  done.abort()
  await Promise.all(working)
  expect(readdirSync(server.dataDir).filter((name) => !/^daehwa\.db(-wal)?$/.test(name))).toEqual([])
  let kept = 0
  for (const { file, from, to, open } of backups) {
    const dataDir = temporaryDir()
    const restored = await runCommand(['restore', file], { DATA_DIR: dataDir })
    expect(restored.code, restored.err).toBe(0)
    const other = await startServer({ dataDir, env })
    const client = clientOf(other.url)
    for (const [n, worker] of workers.entries()) {
      const history = (await client.history(worker.name)).body
      const moments = Array.from({ length: (to[n] ?? 0) - (from[n] ?? 0) + 1 }, (_, k) => (from[n] ?? 0) + k)
      const then = { operations: worker.operations.slice(0, to[n]), open: open[n] }
      const faults = moments.map((count) => faultsAfter(then, count, history))
      expect(faults, worker.name).toContainEqual([])
      kept += history.length
      const more = await client.query(worker.name, `${worker.name} after ${file}`)
      expect(more.body.response).toContain(`count=${history.length + 1} `)
    }
    await other.end('SIGTERM')
  }
  expect(kept).toBeGreaterThan(100)
}, 600_000)

/** A server in which something was said, and a folder for backups. */
async function said(text: string, env: Record<string, string> = {}) {
  const server = await startServer({ env })
  await clientOf(server.url, keyOf(env)).query('민수', text)
  return { ...server, dir: temporaryDir() }
}

const keyOf = ({ DAEHWA_API_KEY: key }: Record<string, string>): Record<string, string> =>
  key === undefined ? {} : { authorization: `Bearer ${key}` }

const saidIn = async (dataDir: string): Promise<string[]> => {
  const server = await startServer({ dataDir })
  const { body } = await clientOf(server.url).history('민수')
  await server.end('SIGTERM')
  return body.map(({ content }: HistoryMessage) => content)
}

it('promise 5: a backup is for its owner alone, replaces nothing unasked, and takes the key of the operator', async () => {
  const env = { DAEHWA_API_KEY: 'operator-key-0123456789' }
  const { url, dir } = await said('first', env)
  const file = join(dir, 'backup.db')
  const refused = await runCommand(['backup', file], { DAEHWA_URL: url })
  expect([refused.code, refused.err]).toEqual([1, expect.stringContaining('DAEHWA_API_KEY')])
  expect(readdirSync(dir)).toEqual([])
  expect(await runCommand(['backup', file], { DAEHWA_URL: url, ...env })).toMatchObject({ code: 0, err: '' })
  expect(readdirSync(dir)).toEqual(['backup.db'])
  expect(statSync(file).mode & 0o777).toBe(0o600)
  const before = readFileSync(file)
  await clientOf(url, keyOf(env)).query('민수', 'second')
  const again = await runCommand(['backup', file], { DAEHWA_URL: url, ...env })
  expect([again.code, again.err]).toEqual([1, expect.stringContaining('is there already')])
  expect(readFileSync(file).equals(before)).toBe(true)
  const replaced = await runCommand(['backup', file, '--replace'], { DAEHWA_URL: url, ...env })
  expect(replaced.code, replaced.err).toBe(0)
  expect(readFileSync(file).includes('second')).toBe(true)
}, 30_000)

it('promise 5: where no server runs, the data themselves are backed up', async () => {
  const { dataDir, dir, end } = await said('hello')
  const file = join(dir, 'backup.db')
  const early = await runCommand(['backup', file], { DATA_DIR: dataDir })
  expect([early.code, early.err]).toEqual([1, expect.stringContaining('another process uses the data')])
  await end('SIGKILL')
  const { code, err } = await runCommand(['backup', file], { DATA_DIR: dataDir })
  expect(code, err).toBe(0)
  const other = temporaryDir()
  expect((await runCommand(['restore', file], { DATA_DIR: other })).code).toBe(0)
  expect((await saidIn(other))[0]).toBe('hello')
  expect(statSync(join(other, 'daehwa.db')).mode & 0o777).toBe(0o600)
  const nothing = await runCommand(['backup', join(dir, 'b.db')], { DATA_DIR: temporaryDir() })
  expect([nothing.code, nothing.err]).toEqual([1, expect.stringContaining('there is no data in')])
}, 30_000)

it('promise 5: a restore stops before a server that runs, and before data that nobody told it to erase', async () => {
  const { url, dataDir, dir, end } = await said('old')
  const file = join(dir, 'backup.db')
  expect((await runCommand(['backup', file], { DAEHWA_URL: url })).code).toBe(0)
  await clientOf(url).query('민수', 'new')
  const running = await runCommand(['restore', file, '--replace'], { DATA_DIR: dataDir })
  expect([running.code, running.err]).toEqual([1, expect.stringContaining('another process uses the data')])
  await end('SIGKILL')
  const unasked = await runCommand(['restore', file], { DATA_DIR: dataDir })
  expect([unasked.code, unasked.err]).toEqual([1, expect.stringContaining('add --replace')])
  expect((await saidIn(dataDir)).length).toBe(4)
  const { code, err } = await runCommand(['restore', file, '--replace'], { DATA_DIR: dataDir })
  expect(code, err).toBe(0)
  expect(readdirSync(dataDir)).toEqual(['daehwa.db'])
  expect((await saidIn(dataDir))[0]).toBe('old')
  expect((await saidIn(dataDir)).length).toBe(2)
}, 60_000)

it('promise 5: what root restores belongs to whom the folder belongs', async () => {
  needsTool('chown', () => process.getuid?.() === 0 || 'only root can give files to others')
  const [dataDir, restored] = [temporaryDir(), temporaryDir()]
  const file = join(temporaryDir(), 'backup.db')
  expect((await runCommand(['migrate'], { DATA_DIR: dataDir })).code).toBe(0)
  expect((await runCommand(['backup', file], { DATA_DIR: dataDir })).code).toBe(0)
  chownSync(restored, 65_534, 65_534)
  const { code, err } = await runCommand(['restore', file], { DATA_DIR: restored })
  expect(code, err).toBe(0)
  const { uid, gid, mode } = statSync(join(restored, 'daehwa.db'))
  expect([uid, gid, mode & 0o777]).toEqual([65_534, 65_534, 0o600])
})

it('promise 5: backups at once are all made, whatever is written and erased meanwhile', async () => {
  const upstream = await startTranscriptUpstream()
  const { url } = await startServer({ env: { OPENAI_BASE_URL: upstream.baseUrl } })
  const client = clientOf(url)
  let over = false
  const busy = Array.from({ length: 8 }, async (_, n) => {
    for (let again = 0; !over; again++) {
      expect((await client.query(`client ${n}`, 'hi')).status).toBe(200)
      if (again % 3 === 2) expect((await client.clear(`client ${n}`)).status).toBe(200)
    }
  })
  for (let round = 0; round < 5; round++) {
    const replies = await Promise.all(
      Array.from({ length: 16 }, async () => {
        const reply = await fetch(`${url}/admin/backup`)
        return [reply.status, (await reply.arrayBuffer()).byteLength > 0]
      }),
    )
    expect(replies).toEqual(Array(16).fill([200, true]))
  }
  over = true
  await Promise.all(busy)
}, 60_000)

it('promise 5: a backup that breaks off leaves no file', async () => {
  const cut = createServer((request, reply) => {
    if (request.url === '/healthz') return reply.end('{}')
    reply.writeHead(200, { 'content-length': 1_000_000 }).write('SQLite format 3\0'.repeat(1_000))
    return setTimeout(() => reply.destroy(), 100)
  }).listen(0, '127.0.0.1')
  onTestFinished(() => void cut.close())
  await new Promise((resolve) => cut.once('listening', resolve))
  const dir = temporaryDir()
  const DAEHWA_URL = `http://127.0.0.1:${(cut.address() as AddressInfo).port}`
  const { code, err } = await runCommand(['backup', join(dir, 'backup.db')], { DAEHWA_URL })
  expect([code, err]).toEqual([1, expect.stringContaining('broke off')])
  expect(readdirSync(dir)).toEqual([])
})

it('promise 5: what a killed server was copying is gone after its next start', async () => {
  const { dataDir, end } = await said('hello')
  await end('SIGKILL')
  const left = join(dataDir, `.daehwa.db-${randomUUID()}`)
  const own = join(dataDir, '.daehwa.db-mine')
  copyFileSync(join(dataDir, 'daehwa.db'), left)
  copyFileSync(join(dataDir, 'daehwa.db'), own)
  await saidIn(dataDir)
  expect([existsSync(left), existsSync(own)]).toEqual([false, true])
})

it('says in a line what is no backup', async () => {
  const { dataDir, dir, end } = await said('hello')
  await end('SIGKILL')
  const [text, half, newer, good] = ['text', 'half', 'newer', 'good'].map((name) => join(dir, name)) as [
    string,
    string,
    string,
    string,
  ]
  writeFileSync(text, 'not a database'.repeat(1_000))
  expect((await runCommand(['backup', good], { DATA_DIR: dataDir })).code).toBe(0)
  writeFileSync(half, readFileSync(good).subarray(0, 20_000))
  copyFileSync(good, newer)
  const db = new DatabaseSync(newer)
  db.exec('INSERT INTO schema_migrations VALUES (999, 1)')
  db.close()
  const live = join(dir, 'live.db')
  copyFileSync(good, live)
  writeFileSync(`${live}-wal`, 'more')
  for (const [file, words] of [
    [join(dir, 'absent'), 'there is no file'],
    [text, 'is no whole backup of Daehwa (file is not a database)'],
    [half, 'is no whole backup of Daehwa'],
    [newer, 'Restore it with the newer Daehwa'],
    [live, 'not whole without the log beside it'],
  ] as const) {
    const empty = temporaryDir()
    const { code, err } = await runCommand(['restore', file], { DATA_DIR: empty })
    expect([code, err.trim().split('\n').length, err]).toEqual([1, 1, expect.stringContaining(words)])
    expect(readdirSync(empty)).toEqual([])
  }
}, 30_000)

it('points at pg_dump where the data is in Postgres', async () => {
  const DATABASE_URL = await postgres.newDatabase()
  const server = await startServer({ env: { DATABASE_URL } })
  const file = join(temporaryDir(), 'backup.db')
  for (const [args, env] of [
    [['backup', file], { DAEHWA_URL: server.url }],
    [['backup', file], { DATABASE_URL }],
    [['restore', file], { DATABASE_URL }],
  ] as const) {
    const { code, err } = await runCommand(args, env)
    expect([code, err]).toEqual([1, expect.stringContaining('pg_dump')])
    expect(existsSync(file)).toBe(false)
  }
}, 30_000)
