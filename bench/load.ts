import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'

/** As many conversations as are asked in turn. */
export const clients = 2_000

export interface Load {
  /** Where to; the connections are spread evenly. */
  readonly urls: readonly string[]
  readonly connections: number
  readonly seconds: number
  /** The number of the client that is asked first. */
  readonly from: number
  /** The cores that it may use. */
  readonly cpus: readonly number[]
  /** How many clients are asked in turn. @default clients */
  readonly clients?: number
  /** The number of the first of them. @default 0 */
  readonly offset?: number
  /** @default queries, without a key */
  readonly request?: Asked
}

/** What is sent. */
export interface Asked {
  /** @default '/query' */
  readonly path?: string
  readonly headers?: Readonly<Record<string, string>>
  /** A file whose content is sent each time, in place of queries. */
  readonly bodyFile?: string
}

export interface Answered {
  readonly requests: number
  readonly perSecond: number
  /** Milliseconds; of several targets those of the slowest. */
  readonly p50: number
  readonly p99: number
}

/** Sends queries with wrk, one thread for each target, for some whole seconds. @throws Error when one is not answered with 200 */
export async function runLoad(load: Load): Promise<Answered> {
  const { urls } = load
  const apart = Math.floor(clients / urls.length)
  const all = await Promise.all(urls.map((url, i) => runWrk(url, load.from + i * apart, load)))
  const sum = (of: (one: Summary) => number) => all.reduce((total, one) => total + of(one), 0)
  const errors = sum((one) => one.errors)
  if (errors > 0) throw new Error(`${errors} queries were not answered`)
  return {
    requests: sum(({ requests }) => requests),
    perSecond: sum(({ requests, micros }) => (requests * 1e6) / micros),
    p50: Math.max(...all.map(({ p50 }) => p50)) / 1_000,
    p99: Math.max(...all.map(({ p99 }) => p99)) / 1_000,
  }
}

interface Summary {
  readonly requests: number
  readonly micros: number
  readonly errors: number
  readonly p50: number
  readonly p99: number
}

async function runWrk(
  url: string,
  from: number,
  { urls, connections, seconds, cpus, clients: many = clients, offset = 0, request = {} }: Load,
): Promise<Summary> {
  const { path = '/query', headers = {}, bodyFile = '' } = request
  const each = `-c${Math.max(1, Math.round(connections / urls.length))}`
  const args = [
    '-t1',
    '--timeout',
    '10s',
    each,
    `-d${seconds}s`,
    '-s',
    join(import.meta.dirname, 'query.lua'),
    url,
  ]
  const own = [`${from}`, `${many}`, `${offset}`, bodyFile, path, ...Object.entries(headers).flat()]
  const child = spawn('taskset', ['-c', cpus.join(), 'wrk', ...args, '--', ...own], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [said, failed, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ])
  const line = /^\{.*\}$/m.exec(said)?.[0]
  if (code !== 0 || line === undefined) throw new Error(`wrk ended with ${code}: ${said}${failed}`)
  return JSON.parse(line) as Summary
}
