import { setTimeout as wait } from 'node:timers/promises'
import { Client } from 'pg'
import { median } from './numbers.ts'

/** How long an idle process of Postgres may keep its counts to itself, in milliseconds (PGSTAT_IDLE_INTERVAL, and a bit). */
export const countsAreLate = 10_500

/** What Postgres has counted since its start. */
export interface Counters {
  /** Bytes. */
  readonly wal: number
  readonly walRecords: number
  readonly fullPages: number
  readonly commits: number
  /** Rows that were written anew, and those of them that needed no new entry in any index ("heap-only tuples"). */
  readonly updates: number
  readonly hotUpdates: number
  /** Turns that were answered. */
  readonly turns: number
}

/** Bytes. */
export interface TableSize {
  readonly table: string
  readonly rows: number
  readonly row: number
  readonly data: number
  readonly indexes: number
}

/** One connection beside those of the instances, idle while something is measured. */
export class Observer implements AsyncDisposable {
  readonly #client: Client

  constructor(url: string) {
    this.#client = new Client(url)
  }

  async connect(): Promise<string> {
    await this.#client.connect()
    return (await this.#one<{ version: string }>("SELECT current_setting('server_version') AS version"))
      .version
  }

  /** Bytes of log, and answered turns. */
  async log(): Promise<Pick<Counters, 'wal' | 'turns'>> {
    const sql =
      "SELECT pg_current_wal_lsn() - '0/0' AS wal, (SELECT count(*) FROM turns WHERE status = 'completed') AS turns"
    const { wal, turns } = await this.#one<{ wal: string; turns: string }>(sql)
    return { wal: Number(wal), turns: Number(turns) }
  }

  async counters(): Promise<Counters> {
    await wait(countsAreLate)
    const row = await this.#one(
      `SELECT w.wal_records AS "walRecords", w.wal_fpi AS "fullPages",
         (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()) AS commits,
         (SELECT sum(n_tup_upd) FROM pg_stat_user_tables) AS updates,
         (SELECT sum(n_tup_hot_upd) FROM pg_stat_user_tables) AS "hotUpdates"
       FROM pg_stat_wal w`,
    )
    const numbers = Object.entries(row).map(([name, value]) => [name, Number(value)])
    return { ...Object.fromEntries(numbers), ...(await this.log()) } as unknown as Counters
  }

  /** Milliseconds to Postgres and back. */
  roundTrip(): Promise<number> {
    return this.#timeOf('SELECT 1')
  }

  /** Milliseconds that the shortest of commits waits for the disk, alone. */
  async commitWait(): Promise<number> {
    const written = await this.#timeOf("SELECT pg_logical_emit_message(true, 'daehwa', '')")
    return Math.max(0, written - (await this.roundTrip()))
  }

  /** From here on the first change of every page writes it whole into the log. */
  async checkpoint(): Promise<void> {
    await this.#client.query('CHECKPOINT')
  }

  /**
   * What autovacuum does in the first minute of a busy database. Until then the plans are those that were made for empty
   * tables: any index that begins with the tenant will do, and all that the tenant has is read through it.
   */
  async analyze(): Promise<void> {
    await this.#client.query('ANALYZE')
  }

  async tableSizes(): Promise<TableSize[]> {
    const sizes: TableSize[] = []
    for (const table of ['turns', 'items', 'conversations']) {
      await this.#client.query(`VACUUM ANALYZE ${table}`)
      const row = await this.#one(
        `SELECT count(*) AS rows, avg(pg_column_size(t.*)) AS row, pg_table_size('${table}') AS data,
           pg_indexes_size('${table}') AS indexes FROM ${table} t`,
      )
      const { rows, row: size, data, indexes } = row as Record<string, string>
      const numbers = { rows: Number(rows), row: Number(size), data: Number(data), indexes: Number(indexes) }
      sizes.push({ table, ...numbers })
    }
    return sizes
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.end()
  }

  async #timeOf(sql: string): Promise<number> {
    const times: number[] = []
    for (let asked = 0; asked < 50; asked++) {
      const start = performance.now()
      await this.#client.query(sql)
      times.push(performance.now() - start)
    }
    return median(times)
  }

  async #one<Row extends object>(sql: string): Promise<Row> {
    const [row] = (await this.#client.query<Row>(sql)).rows
    if (row === undefined) throw new Error(`no row: ${sql}`)
    return row
  }
}
