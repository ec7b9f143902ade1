import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { expect, it, onTestFinished } from 'vitest'
import { openStorage } from '../../src/storage/open-storage.ts'
import { answer, begin, commit, someone, turn } from '../contract/samples.ts'
import { length } from '../support/full-length.ts'
import { historyOf } from '../support/history-of.ts'
import { postgresForTests } from '../support/start-postgres.ts'
import { runToEnd, startServer, temporaryDir } from '../support/start-server.ts'

const postgres = postgresForTests()
const launcher = resolve(import.meta.dirname, '../../bin/daehwa.js')

/** Runs the command; it is killed when it has said `killAt`. */
async function daehwa(args: readonly string[], killAt?: string) {
  const child = spawn(process.execPath, [launcher, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  let output = ''
  const hear = (bytes: Buffer) => {
    output += bytes
    if (killAt !== undefined && output.includes(killAt)) child.kill('SIGKILL')
  }
  child.stdout.on('data', hear)
  child.stderr.on('data', hear)
  const [code] = await once(child, 'close')
  return { code: code as number | null, output }
}

/** Data of so many conversations of so many turns each, in a folder. */
async function dataOf(conversations: number, turns: number): Promise<string> {
  const dir = temporaryDir()
  const storage = await openStorage({ dir, durability: 'normal', now: 1 })
  for (let c = 0; c < conversations; c++) {
    const key = someone({ tenant: 'default', client: `client ${c} 한글` })
    for (let t = 0; t < turns; t++) {
      const claim = await begin(storage.store, turn(key, `question ${t} "😀"\n`))
      await commit(storage.store, claim, answer(`answer ${t}`))
    }
    await storage.store.updateClient(key, { metadata: { c: `${c}` } }, 5)
  }
  await storage[Symbol.asyncDispose]()
  return dir
}

it('copies everything from SQLite to Postgres, interrupted or not, and shows that both are equal', async () => {
  const conversations = length('conversations of 100 turns', { full: 10_000, short: 40 })
  const dir = await dataOf(conversations, 100)
  const url = await postgres.newDatabase()
  const args = ['copy', '--from', `sqlite:${dir}`, '--to', url]
  const cut = await daehwa(args, 'copying items')
  expect(cut.code).toBeNull()
  await wait(100)
  const early = await runToEnd({ env: { DATABASE_URL: url } })
  expect(early).toMatchObject({ code: 1, output: expect.stringContaining('a copy into') })
  const begun = performance.now()
  const { code, output } = await daehwa(args)
  expect(code, output).toBe(0)
  process.stderr.write(`the rest was copied and compared in ${Math.round(performance.now() - begun)} ms\n`)
  expect(output).toContain(`items: ${conversations * 200} rows, sha256 `)
  expect(output).toContain('both are equal')
  expect(output).not.toContain(postgres.password)
  const copied = await openStorage({ url, dir: '', durability: 'full', now: 2 })
  onTestFinished(() => copied[Symbol.asyncDispose]())
  const key = { tenant: 'default', client: 'client 7 한글' }
  const history = await historyOf(copied.store, key)
  expect(history).toHaveLength(200)
  expect(history[199]?.content).toBe('answer 99')
  expect((await copied.store.settings(key)).client?.settings.metadata).toEqual({ c: '7' })
  const again = await daehwa(args)
  expect([again.code, again.output]).toEqual([1, expect.stringContaining('Copy into an empty one')])
}, 3_600_000)

it('is refused while a server uses the database', async () => {
  const url = await postgres.newDatabase()
  const server = await startServer({ env: { DATABASE_URL: url } })
  const args = ['copy', '--from', url, '--to', `sqlite:${temporaryDir()}`]
  expect(await daehwa(args)).toMatchObject({ code: 1, output: expect.stringContaining('Stop it first') })
  await server.end('SIGTERM')
  expect((await daehwa(args)).code).toBe(0)
}, 30_000)

it('goes back from Postgres to SQLite', async () => {
  const [dir, back, url] = [await dataOf(3, 3), temporaryDir(), await postgres.newDatabase()]
  expect((await daehwa(['copy', '--from', `sqlite:${dir}`, '--to', url])).code).toBe(0)
  const { code, output } = await daehwa(['copy', '--from', url, '--to', `sqlite:${back}`])
  expect(code, output).toBe(0)
  expect(output).toContain('items: 18 rows')
}, 60_000)

it.each([
  [['copy', '--from', 'sqlite:/nowhere', '--to', 'sqlite:/tmp/x'], 'there is no data in /nowhere'],
  [['copy', '--from', 'mysql:x', '--to', 'sqlite:x'], '--from must begin with sqlite:'],
  [['copy', '--to', 'sqlite:x'], 'from'],
  [['frobnicate'], 'frobnicate'],
])('says in a line what is wrong with %j', async (args, words) => {
  const { code, output } = await daehwa(args)
  expect([code, output]).toEqual([1, expect.stringContaining(words)])
  expect(output).not.toContain('    at ')
})

it('brings a schema up to date, and tells its commands', async () => {
  process.env['DATA_DIR'] = temporaryDir()
  onTestFinished(() => void delete process.env['DATA_DIR'])
  expect(await daehwa(['migrate'])).toMatchObject({
    code: 0,
    output: expect.stringMatching(/^The schema of .+ is at version \d+, the newest\.\n$/),
  })
  expect(await daehwa(['migrate', '--to', 'x'])).toMatchObject({
    code: 1,
    output: expect.stringContaining('has no option --to'),
  })
  expect((await daehwa(['--help'])).output).toContain('copy')
})

it.each(['SQLite', 'Postgres'])(
  'with DAEHWA_MIGRATE=off a start over %s changes nothing and says what to do',
  async (kind) => {
    const dataDir = temporaryDir()
    const database = kind === 'SQLite' ? {} : { DATABASE_URL: await postgres.newDatabase() }
    const env = { ...database, DAEHWA_MIGRATE: 'off' }
    const refused = await runToEnd({ dataDir, env })
    expect(refused).toMatchObject({ code: 1, output: expect.stringContaining('npm run daehwa -- migrate') })
    for (const [name, value] of Object.entries({ DATA_DIR: dataDir, ...env })) {
      process.env[name] = value
      onTestFinished(() => void delete process.env[name])
    }
    expect((await daehwa(['migrate'])).code).toBe(0)
    const server = await startServer({ dataDir, env })
    expect((await fetch(`${server.url}/readyz`)).status).toBe(200)
  },
)
