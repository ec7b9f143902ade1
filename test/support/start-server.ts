import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { nodeArgs } from './program.ts'

export interface RunningServer {
  readonly url: string
  readonly dataDir: string
  readonly process: ChildProcess
  /** All that the process wrote so far, to both of its outputs. */
  output(): string
  /** Sends a signal to the process and waits for its end; answers the exit code, or null when the signal ended it. */
  end(signal: NodeJS.Signals): Promise<number | null>
}

export interface StartOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly dataDir?: string
  /** Put before `node`, for example `strace` and its arguments. */
  readonly wrapper?: readonly string[]
}

/** A new folder that is gone when the test is over. */
export function temporaryDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'daehwa-test-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

/**
 * Starts the real program as a process of its own, on a port of its own, and waits until it listens. It runs in
 * its data folder, so that no `.env` reaches it; it is killed when the test is over.
 */
export async function startServer(options: StartOptions = {}): Promise<RunningServer> {
  const started = launch(options)
  const url = await Promise.race([
    started.listening,
    started.ended.then((code) => {
      throw new Error(`the server ended with ${code} before it listened:\n${started.output()}`)
    }),
  ])
  return { ...started, url }
}

/** Runs the program until it ends by itself. */
export async function runToEnd(options: StartOptions): Promise<{ code: number | null; output: string }> {
  const started = launch(options)
  return { code: await started.ended, output: started.output() }
}

function launch({ env = {}, dataDir = temporaryDir(), wrapper = [] }: StartOptions) {
  const [command = '', ...args] = [...wrapper, process.execPath, ...nodeArgs]
  const child = spawn(command, args, {
    cwd: dataDir,
    env: { PATH: process.env['PATH'] ?? '', PORT: '0', DATA_DIR: dataDir, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true, // a process group of its own: what a wrapper has started ends with it
  })
  const kill = (signal: NodeJS.Signals) => {
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null)
      process.kill(-child.pid, signal)
  }
  let output = ''
  const { promise: listening, resolve: listens } = Promise.withResolvers<string>()
  const collect = (chunk: Buffer) => {
    output += chunk.toString()
    const url = /Server listening at (http:[^"]+)/.exec(output)?.[1]
    if (url !== undefined) listens(url)
  }
  child.stdout.on('data', collect)
  child.stderr.on('data', collect)
  const ended = once(child, 'close').then(([code]) => code as number | null)
  onTestFinished(async () => {
    kill('SIGKILL')
    await ended
  })
  return {
    dataDir,
    process: child,
    listening,
    ended,
    output: () => output,
    end(signal: NodeJS.Signals) {
      kill(signal)
      return ended
    },
  }
}
