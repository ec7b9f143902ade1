import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../test/support/free-port.ts'
import { nodeArgs } from '../test/support/program.ts'
import { untilAnswered } from './canned-upstream.ts'

export interface Instance extends AsyncDisposable {
  readonly url: string
  readonly pid: number
}

/** The real program, started as `npm start` does, with its log at its default level in a file. */
export async function startInstance(databaseUrl: string, upstreamUrl: string): Promise<Instance> {
  const dir = mkdtempSync(join(tmpdir(), 'daehwa-bench-'))
  const port = await freePort()
  const log = openSync(join(dir, 'log'), 'a')
  const child = spawn(process.execPath, nodeArgs, {
    cwd: dir,
    env: {
      PATH: process.env['PATH'] ?? '',
      PORT: `${port}`,
      DATABASE_URL: databaseUrl,
      OPENAI_BASE_URL: upstreamUrl,
      DAEHWA_DEFAULT_MODEL: 'canned',
      DAEHWA_CONTEXT_WINDOW: '1000000', // the whole history goes along
    },
    stdio: ['ignore', log, log],
  })
  closeSync(log)
  const url = `http://127.0.0.1:${port}`
  try {
    await untilAnswered(`${url}/readyz`, child)
  } catch (error) {
    child.kill('SIGKILL')
    throw new Error(`an instance did not start: ${readFileSync(join(dir, 'log'), 'utf8')}`, { cause: error })
  }
  return {
    url,
    pid: child.pid ?? 0,
    async [Symbol.asyncDispose]() {
      const ended = once(child, 'exit')
      child.kill('SIGTERM')
      await ended
      rmSync(dir, { recursive: true, force: true })
    },
  }
}
