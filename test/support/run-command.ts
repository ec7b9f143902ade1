import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { onTestFinished } from 'vitest'

const launcher = resolve(import.meta.dirname, '../../bin/daehwa.js')

/** Runs `daehwa …` to its end, in a folder of its own or that of the data, with these settings and no others. */
export async function runCommand(args: readonly string[], env: Readonly<Record<string, string>>) {
  const child = spawn(process.execPath, [launcher, ...args], {
    ...{ cwd: env['DATA_DIR'] ?? '/', stdio: ['ignore', 'pipe', 'pipe'] },
    env: { PATH: process.env['PATH'] ?? '', PORT: '1', ...env },
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  let [out, err] = ['', '']
  child.stdout.on('data', (bytes) => (out += bytes))
  child.stderr.on('data', (bytes) => (err += bytes))
  const [code] = await once(child, 'close')
  return { code: code as number | null, out, err }
}
