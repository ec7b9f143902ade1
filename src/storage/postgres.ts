import { setTimeout as wait } from 'node:timers/promises'
import {
  Client,
  type ClientBase,
  type ClientConfig,
  Pool,
  type PoolConfig,
  type QueryResult,
  types,
} from 'pg'
import { codeOf } from '../conversation/errors.ts'
import { type Database, type Query, type Told, timed, type Work } from './database.ts'
import * as dialects from './dialects.ts'
import { afterRaces, isLostRace, storageError } from './postgres-errors.ts'
import { limits, session } from './postgres-session.ts'
import { begin, InDoubt, transact } from './postgres-transaction.ts'

/** Connections at the most. A transaction holds one for some round trips, and nothing holds one while a model is asked. */
const connections = 10
/** How long it is asked what became of a COMMIT, and how often. Milliseconds. */
const doubt = { longest: 10_000, pause: 200 } as const
/** How often work is begun when others come first. */
const attempts = 5
const int8 = 20

/**
 * Postgres, over a pool of connections. Statements are prepared once on each, and sent without waiting where nobody reads
 * their rows. A lost connection is `storage_unavailable`, and the next work gets a new one.
 */
export class PostgresDatabase implements Database {
  readonly dialect = dialects.postgres
  readonly shared = true
  /** How often a connection was made to another server than the one before, the first one too. */
  #servers = 0
  /** When the server of the newest connection was started, which tells it from others. */
  #server: string | undefined
  readonly #config: ClientConfig
  readonly #pool: Pool
  readonly #told: Told
  readonly #statements = new Map<string, { readonly name: string; readonly text: string }>()

  /** `full`: a commit is on the disk of the database before it resolves, whatever is its default. */
  constructor(url: string, durability: 'full' | 'normal', told?: Told) {
    this.#told = told
    this.#config = {
      connectionString: url,
      fallback_application_name: 'daehwa',
      connectionTimeoutMillis: limits.connect,
      keepAlive: true,
      pipeline: true,
      types: {
        getTypeParser: ((oid: number, format?: 'text') =>
          oid === int8 ? Number : types.getTypeParser(oid, format)) as typeof types.getTypeParser,
      },
    }
    const options: PoolConfig = {
      ...this.#config,
      max: connections,
      idleTimeoutMillis: limits.idle,
      query_timeout: limits.answer,
      onConnect: async (client) => {
        const { rows } = await client.query<{ server: string }>(session(durability))
        const server = rows[0]?.server
        if (server !== this.#server) this.#servers++
        this.#server = server
      },
    }
    this.#pool = new Pool(options)
    // Whoever uses a connection learns of its end from their query; unheard, these would end the process.
    this.#pool.on('error', () => {}).on('connect', (client) => void client.on('error', () => {}))
  }

  get servers(): number {
    return this.#servers
  }

  /** @throws Error when this Postgres cannot keep what is to be kept */
  async check(): Promise<void> {
    const sql = `SELECT current_setting('server_version_num')::int AS version, getdatabaseencoding() AS encoding`
    const [server] = (await answered(this.#pool.query<{ version: number; encoding: string }>(sql))).rows
    if (server === undefined || server.version < 140_000) throw new Error('it is older than Postgres 14')
    if (server.encoding === 'UTF8') return
    throw new Error(
      `its encoding is ${server.encoding}: CREATE DATABASE … ENCODING 'UTF8' makes one that will do`,
    )
  }

  write<T>(work: () => Work<T>): Promise<T> {
    return timed(this.#told, this.#written(work))
  }

  async #written<T>(work: () => Work<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#transaction(begin.write, work)
      } catch (error) {
        if (error instanceof InDoubt) return this.#settled<T>(error)
        if (attempt === attempts || !isLostRace(error)) throw afterRaces(error)
      }
    }
  }

  /** On a connection of its own, which knows no time limits. */
  async alter<T>(work: () => Work<T>): Promise<T> {
    const client = new Client(this.#config).on('error', () => {})
    try {
      await answered(client.connect())
      return await transact((query) => this.#send(client, query), begin.alter, work)
    } finally {
      await client.end()
    }
  }

  /** One statement sees one state by itself; work that asks for more begins anew in a transaction. */
  async read<T>(work: () => Work<T>): Promise<T> {
    const steps = work()
    const asked = steps.next([])
    if (asked.done) return asked.value
    const step = steps.next((await this.#send(this.#pool, asked.value)).rows)
    return step.done ? step.value : this.#transaction(begin.read, work)
  }

  /**
   * There is nothing to overwrite from here: what was erased stays in the files of the tables until VACUUM has made room
   * there and others have used it, and in the write-ahead log, its archives and backups as long as those are kept.
   */
  async scrub(): Promise<void> {}

  async backup(): Promise<undefined> {}

  async close(): Promise<void> {
    await this.#pool.end()
  }

  async #transaction<T>(start: string, work: () => Work<T>): Promise<T> {
    const client = await answered(this.#pool.connect())
    let lost = false
    try {
      return await transact((query) => this.#send(client, query), start, work)
    } catch (error) {
      lost = error instanceof InDoubt || codeOf(error) === 'storage_unavailable'
      throw error
    } finally {
      client.release(lost)
    }
  }

  /** What a transaction came to whose COMMIT was not answered, as soon as the database can say it. */
  async #settled<T>({ xid, value, cause }: InDoubt): Promise<T> {
    const until = performance.now() + doubt.longest
    while (performance.now() < until && !this.#pool.ending) {
      const status = await this.#statusOf(xid)
      if (status === 'committed') return value as T
      if (status === 'aborted') break
      await wait(doubt.pause)
    }
    throw cause
  }

  async #statusOf(xid: string): Promise<string | undefined> {
    try {
      const sql = 'SELECT pg_xact_status($1::xid8) AS status'
      return (await this.#pool.query<{ status: string }>(sql, [xid])).rows[0]?.status
    } catch {
      return undefined
    }
  }

  #send(on: Pool | ClientBase, query: Query | string): Promise<QueryResult> {
    if (typeof query === 'string') return answered(on.query(query))
    const asked = { ...this.#statement(query), values: [...query.values] }
    return answered<QueryResult>(query.asArrays ? on.query({ ...asked, rowMode: 'array' }) : on.query(asked))
  }

  /** The same rows looked at and locked are two statements. */
  #statement({ sql, lock }: Query): { name: string; text: string } {
    const whole = lock ? `${sql} FOR UPDATE` : sql
    const known = this.#statements.get(whole)
    if (known !== undefined) return known
    let place = 0
    const text = whole.replaceAll('?', () => `$${++place}`)
    const statement = { name: `daehwa_${this.#statements.size}`, text }
    this.#statements.set(whole, statement)
    return statement
  }
}

async function answered<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer
  } catch (error) {
    throw storageError(error)
  }
}
