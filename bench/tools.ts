import { spawnSync } from 'node:child_process'
import { parseArgs } from 'node:util'

/** Programs beside those that `npm ci` brings, with the packages of Debian that hold them. */
const needed = { nginx: 'nginx', wrk: 'wrk', taskset: 'util-linux' }

/** Says what is missing and ends the process. */
export function requireTools(): void {
  const missing = Object.entries(needed).filter(
    ([program]) => spawnSync(program, ['-v'], { stdio: 'ignore' }).error !== undefined,
  )
  if (process.platform === 'linux' && missing.length === 0) return
  const packages = missing.map(([, name]) => name).join(' ')
  process.stderr.write(
    process.platform === 'linux'
      ? `This needs programs that are not installed: apt-get install ${packages}\n`
      : 'This reads /proc and needs taskset: it runs on Linux only\n',
  )
  process.exit(1)
}

export interface Options {
  readonly rounds: number
  /** Of each slice. */
  readonly seconds: number
  readonly connections: number
  /** Whether the results replace those in bench/results and in the pages that show them. */
  readonly save: boolean
}

/** @throws TypeError for an option that there is not */
export function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '7' },
      seconds: { type: 'string', default: '1' },
      connections: { type: 'string', default: '32' },
      save: { type: 'boolean', default: false },
    },
  })
  return {
    rounds: Number(values.rounds),
    seconds: Number(values.seconds),
    connections: Number(values.connections),
    save: values.save,
  }
}
