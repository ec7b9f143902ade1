import { spawnSync } from 'node:child_process'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { clientOf } from '../support/client.ts'
import { startServer, temporaryDir } from '../support/start-server.ts'
import { needsTool } from '../support/tools.ts'

const tracer = 'strace'

/** The server on a disk of which something becomes when it is asked to take what was written: strace's `inject`. */
function startOn(fault: string, dataDir = temporaryDir()) {
  needsTool(tracer)
  const injected = ['-e', 'trace=fdatasync', '-e', `inject=fdatasync:${fault}`]
  return startServer({ dataDir, wrapper: [tracer, '-f', '-qq', '-o', '/dev/null', ...injected] })
}

it('promise 1: others go on while a slow disk takes what was written, and nobody is answered before it has', async () => {
  const [slowness, many] = [250, 20]
  const server = await startOn(`delay_exit=${slowness}ms`)
  const client = clientOf(server.url)
  const timed = async (ask: () => Promise<{ status: number }>) => {
    const begin = performance.now()
    const { status } = await ask()
    return { status, ms: performance.now() - begin }
  }
  const queries = Array.from({ length: many }, (_, n) => timed(() => client.query(`client ${n}`, 'hello')))
  let over = false
  const all = Promise.all(queries).finally(() => (over = true))
  const looks: number[] = []
  while (!over) {
    const { status, ms } = await timed(() => fetch(new URL('/healthz', server.url)))
    expect(status).toBe(200)
    looks.push(ms)
  }
  const answered = await all
  expect(answered.map(({ status }) => status)).toEqual(Array(many).fill(200))
  // Accepted and answered: two times that the disk is waited for; and once more where it had begun already.
  expect(Math.min(...answered.map(({ ms }) => ms))).toBeGreaterThan(2 * slowness)
  await wait(2 * slowness) // with nothing under way that it would have to wait for
  const alone = await timed(() => client.query('client 0', 'hello'))
  expect(alone.ms).toBeGreaterThan(2 * slowness)
  expect(Math.max(...answered.map(({ ms }) => ms))).toBeLessThan(8 * slowness)
  expect(looks.length).toBeGreaterThan(many)
  expect(Math.max(...looks)).toBeLessThan(slowness / 2)
})

it('promise 1: a disk that fails to take what was written ends the process, with a line that says so; what was answered before is kept', async () => {
  const dataDir = temporaryDir()
  const healthy = await startServer({ dataDir })
  expect((await clientOf(healthy.url).query('민수', 'kept')).status).toBe(200)
  await healthy.end('SIGTERM')

  const server = await startOn('error=EIO:when=4+', dataDir)
  const told: number[] = []
  const query = async (): Promise<void> => {
    const { status } = await clientOf(server.url).query('민수', `message ${told.length}`)
    told.push(status)
    return query()
  }
  await expect(query()).rejects.toThrow() // the connection breaks
  const [code] = [
    server.process.exitCode ?? (await new Promise((resolve) => server.process.once('exit', resolve))),
  ]
  expect(code).toBe(1)
  expect(server.output()).toContain('the disk did not take what was written')

  const again = await startServer({ dataDir })
  const { body } = await clientOf(again.url).history('민수')
  expect(body.filter(({ role }: { role: string }) => role === 'user').length).toBeGreaterThanOrEqual(
    1 + told.length,
  )
  expect(body[0].content).toBe('kept')
})

it('promise 1: what is not on the disk yet is told by nobody', async () => {
  const server = await startOn('delay_exit=500ms')
  const client = clientOf(server.url)
  await client.query('민수', 'first')
  const read = async () =>
    (await (await fetch(new URL('/clients/민수', server.url))).json()) as { turns: number }
  expect(await read()).toMatchObject({ turns: 1 }) // from here on it is in memory
  let told = Number.POSITIVE_INFINITY
  let answered = false
  const second = client.query('민수', 'second').finally(() => (answered = true))
  while (!answered) if ((await read()).turns === 2) told = Math.min(told, performance.now())
  await second
  expect(told).toBeGreaterThanOrEqual(performance.now() - 100)
})

it('promise 1: what a disk failed to take is written anew by the next start, before anything is answered', async () => {
  const dataDir = temporaryDir()
  const failing = await startOn('error=EIO:when=6+', dataDir)
  const ask = async (): Promise<void> => clientOf(failing.url).query('민수', 'x'.repeat(600)).then(ask)
  await expect(ask()).rejects.toThrow()
  // What the process before wrote may be read, and yet be lost: the log begins anew, and all that was in it goes to the file.
  const size = () => statSync(join(dataDir, 'daehwa.db-wal')).size
  const left = size()
  const server = await startServer({ dataDir })
  expect(left).toBeGreaterThan(8_192)
  expect(size()).toBeLessThan(left)
  expect((await clientOf(server.url).query('영희', 'hello')).status).toBe(200)
})

it('a command on a disk that fails ends with one line', async () => {
  needsTool(tracer)
  const injected = ['-e', 'trace=fdatasync', '-e', 'inject=fdatasync:error=EIO']
  const cli = join(import.meta.dirname, '../../src/cli/main.ts')
  const { status, stderr } = spawnSync(
    tracer,
    ['-f', '-qq', '-o', '/dev/null', ...injected, process.execPath, cli, 'migrate'],
    { env: { PATH: process.env['PATH'] ?? '', DATA_DIR: temporaryDir() }, encoding: 'utf8' },
  )
  expect(stderr).toMatch(/^daehwa: the disk did not take what was written \(EIO\)\. .+\n$/)
  expect(status).toBe(1)
})
