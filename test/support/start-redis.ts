import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { onTestFinished } from 'vitest'
import { freePort } from './free-port.ts'
import { temporaryDir } from './start-server.ts'
import { needsTool } from './tools.ts'

export interface TestRedis {
  readonly url: string
  readonly password: string
  /** The folder where it would write, if it wrote. */
  readonly dir: string
  readonly process: ChildProcess
  kill(): Promise<void>
  /** Starts it again, on its old port. */
  start(): Promise<void>
}

/** A real Redis for one test, which is skipped where there is none. */
export async function startRedis(): Promise<TestRedis> {
  needsTool('redis-server')
  const [port, dir, password] = [await freePort(), temporaryDir(), 'redis-secret-7f3a']
  const args = [
    '--port',
    `${port}`,
    '--bind',
    '127.0.0.1',
    '--dir',
    dir,
    '--requirepass',
    password,
    '--save',
    '',
  ]
  let running: ChildProcess | undefined
  const kill = async () => {
    if (running === undefined || running.exitCode !== null || running.signalCode !== null) return
    running.kill('SIGCONT')
    running.kill('SIGKILL')
    await once(running, 'exit')
  }
  const start = async () => {
    const child = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'ignore'] })
    running = child
    for await (const line of child.stdout) if (`${line}`.includes('Ready to accept connections')) break
  }
  onTestFinished(kill)
  await start()
  return {
    ...{ url: `redis://:${password}@127.0.0.1:${port}`, password, dir, kill, start },
    get process() {
      if (running === undefined) throw new Error('it was started')
      return running
    },
  }
}
