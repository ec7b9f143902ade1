import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../test/support/free-port.ts'
import { untilAnswered } from './canned-upstream.ts'

export interface Server extends AsyncDisposable {
  readonly url: string
  readonly pid: number
}

export interface Start {
  readonly command: string
  /** The port is `PORT` in its environment, too. */
  readonly args: (port: number) => readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** What it answers with 200 once it is ready. */
  readonly ready: string
  readonly cwd?: string
  readonly port?: number
  /** Milliseconds until it is asked again whether it is ready. @default 50 */
  readonly pause?: number
  /** The cores that it may use. @default all */
  readonly cpus?: readonly number[]
}

/** A server in a process of its own, ready to be asked; its output is in a file. @throws Error with that output when it ends or says nothing */
export async function spawnServer(start: Start): Promise<Server> {
  const { command, args, env, ready, cwd, port, pause, cpus } = start
  const dir = mkdtempSync(join(tmpdir(), 'daehwa-bench-'))
  const at = port ?? (await freePort())
  const log = openSync(join(dir, 'log'), 'a')
  const [file = '', ...rest] = [...(cpus ? ['taskset', '-c', cpus.join()] : []), command, ...args(at)]
  const child = spawn(file, rest, {
    cwd: cwd ?? dir,
    env: { PATH: process.env['PATH'] ?? '', HOME: dir, PORT: `${at}`, ...env },
    stdio: ['ignore', log, log],
  })
  closeSync(log)
  const url = `http://127.0.0.1:${at}`
  try {
    await untilAnswered(url + ready, child, pause)
  } catch (error) {
    child.kill('SIGKILL')
    throw new Error(`${command} did not start: ${readFileSync(join(dir, 'log'), 'utf8')}`, { cause: error })
  }
  return {
    url,
    pid: child.pid ?? 0,
    async [Symbol.asyncDispose]() {
      const ended = once(child, 'exit')
      child.kill('SIGTERM')
      if (child.exitCode === null && child.signalCode === null) await ended
      rmSync(dir, { recursive: true, force: true })
    },
  }
}
