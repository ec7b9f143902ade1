import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startInstance } from './instance.ts'
import type { Asked } from './load.ts'
import { progress } from './progress.ts'
import { type Server, type Start, spawnServer } from './spawn-server.ts'
import type { Stage } from './stage.ts'

type How = Pick<Start, 'pause'>

interface DaehwaStart extends How {
  /** Of Node.js, besides those of `npm start`. */
  readonly flags?: readonly string[]
  readonly durability?: 'full' | 'normal'
  readonly upstream?: string
}

const rivals = join(import.meta.dirname, 'rivals')
const portkey = join(rivals, 'node_modules/@portkey-ai/gateway/build/start-server.js')
const onCore0 = { cpus: [0] }
/** Queries with a key that has limits. */
export const withKey = (secret: string): { headers: Readonly<Record<string, string>> } => ({
  headers: { Authorization: `Bearer ${secret}` },
})

export const startBase = (upstream: string): Promise<Server> =>
  spawnServer({
    ...onCore0,
    command: process.execPath,
    args: () => [fileURLToPath(import.meta.resolve('./base.ts'))],
    ready: '/',
    env: { UPSTREAM: upstream },
  })

/** On the database in a folder. */
export const startDaehwa = (
  { upstream }: Stage,
  dir: string,
  { durability = 'full', upstream: other = upstream.baseUrl, ...how }: DaehwaStart = {},
): Promise<Server> =>
  startInstance(other, { DATA_DIR: dir, DAEHWA_DURABILITY: durability }, { ...onCore0, ...how })

export const startExpress = ({ upstream, history }: Stage, how: How = {}): Promise<Server> =>
  spawnServer({
    ...onCore0,
    ...how,
    command: process.execPath,
    args: () => [join(rivals, 'express.js')],
    ready: '/readyz',
    env: { UPSTREAM: upstream.baseUrl, HISTORY: history, NODE_ENV: 'production' },
  })

export const startPortkey = (how: How = {}): Promise<Server> =>
  spawnServer({
    ...onCore0,
    ...how,
    command: process.execPath,
    args: (port) => [portkey, `--port=${port}`, '--headless'],
    ready: '/',
    env: { NODE_ENV: 'production' },
  })

/** How Portkey is told where the upstream is. */
export const throughPortkey = ({ upstream, body }: Stage): Asked => ({
  path: '/v1/chat/completions',
  headers: {
    Authorization: 'Bearer none',
    'x-portkey-provider': 'openai',
    'x-portkey-custom-host': upstream.baseUrl,
  },
  bodyFile: body,
})

/** Undefined, with a line that says so, where its modules are missing. */
export async function startFastApi({ upstream, history }: Stage): Promise<Server | undefined> {
  const python = ['python3', '/usr/bin/python3'].find(
    (one) => spawnSync(one, ['-c', 'import fastapi, uvicorn, httpx']).status === 0,
  )
  if (python === undefined) {
    const packages = 'python3-fastapi python3-uvicorn python3-httpx'
    process.stderr.write(`FastAPI is left out: apt-get install ${packages}\n`)
    return undefined
  }
  return spawnServer({
    ...onCore0,
    command: python,
    args: (port) => [
      ...['-m', 'uvicorn', 'fastapi_app:app', '--port', `${port}`],
      ...['--no-access-log', '--log-level', 'warning'],
    ],
    ready: '/readyz',
    env: { UPSTREAM: upstream.baseUrl, HISTORY: history, PYTHONDONTWRITEBYTECODE: '1' },
    cwd: rivals,
  })
}

export function rivalVersions(): Readonly<Record<string, string>> {
  const manifest = JSON.parse(readFileSync(join(rivals, 'package.json'), 'utf8'))
  return (manifest as { dependencies: Record<string, string> }).dependencies
}

/** On first use, into a folder of their own. */
export function installRivals(): void {
  if (existsSync(join(rivals, 'node_modules/express'))) return
  progress('installing what Daehwa is compared with: npm ci --prefix bench/rivals')
  const { status, stderr } = spawnSync('npm', ['ci', '--ignore-scripts', '--prefix', rivals], {
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`npm ci --prefix bench/rivals failed: ${stderr}`)
}
