import type { Observer } from '../conversation/observer.ts'
import type { DatabaseCopy } from '../conversation/store.ts'
import type { Dialect } from './dialects.ts'

/** What can be bound to a statement. */
export type Value = string | number | null

/** One statement with its values; `?` marks the place of each. */
export interface Query {
  readonly sql: string
  readonly values: readonly Value[]
  /** Rows come as arrays, in the order of the columns: for many rows at once that takes half the time. */
  readonly asArrays?: true
  /** Whether nobody else may change the rows that are read, until the work is over. */
  readonly lock?: true
  /** Whether nobody reads the rows. */
  readonly unread?: true
}

/**
 * A piece of database work: it yields queries and is handed their rows. Work is written once so, and each
 * database runs it in its own way: node:sqlite without ever waiting, Postgres by awaiting the queries whose rows are read.
 *
 * Work may be begun anew from its first query, so it changes nothing but the database. Where many write at once, whoever
 * writes to a conversation has its row first (by an update, or `locked`): so the writes of one conversation are
 * serial, and nobody waits in a circle. What was read before that is read again, or stands in a `WHERE`.
 */
export type Work<T> = Generator<Query, T, readonly unknown[]>

/** A database that runs work. What it throws is a DaehwaError `storage_…`, or a defect of a statement. */
export interface Database {
  readonly dialect: Dialect
  /** Whether other processes may use it at the same time. */
  readonly shared: boolean
  /** Runs work in one transaction: durable when it resolves, undone when it rejects. */
  write<T>(work: () => Work<T>): Promise<T>
  /** The same for work that changes the schema: however long it takes, and one process at a time. */
  alter<T>(work: () => Work<T>): Promise<T>
  /** Resolves when all that was written so far is durable; undefined: it is, or work that is run waits for it by itself. */
  readonly keeping?: Promise<void> | undefined
  /** How many servers were met behind its address, one after the other: one that takes over may lack what was committed last. */
  readonly servers?: number
  /** Runs work that changes nothing, on one consistent state. */
  read<T>(work: () => Work<T>): Promise<T>
  /** Overwrites what was erased wherever the database still holds it besides its tables, as in a log. */
  scrub(): Promise<void>
  /** Copies everything while others write; undefined where the database has tools of its own for that. */
  backup(): Promise<DatabaseCopy | undefined>
  close(): Promise<void>
}

/** Takes part in the transactions of a database that runs them here, one after the other. */
export interface Companion {
  /** The last work of every transaction. */
  beforeCommit(): Work<void>
  /** One was not kept, with all that was done in it. */
  undone(): void
}

/** Who hears how long it takes to write. */
export type Told = Pick<Observer, 'committed'> | undefined

/** Nobody knows any more what is on the disk, and the process has to end; the message is one line for the operator. */
export class DiskError extends Error {
  override readonly name = 'DiskError'
}

/** The database cannot be opened; the message is one line for the operator. */
export class OpenError extends Error {
  override readonly name = 'OpenError'
  /** Whether another process has it. */
  readonly inUse: boolean

  constructor(message: string, { inUse = false, ...options }: ErrorOptions & { inUse?: boolean } = {}) {
    super(message, options)
    this.inUse = inUse
  }
}

/** All rows of a query. `Row` is what the statement selects: its author's word. */
export function* all<Row>(sql: string, ...values: Value[]): Work<Row[]> {
  return (yield { sql, values }) as Row[]
}

/** All rows of a query as tuples of its columns. */
export function* tuples<Row extends readonly unknown[]>(sql: string, ...values: Value[]): Work<Row[]> {
  return (yield { sql, values, asArrays: true }) as Row[]
}

/** The first row of a query. */
export function* first<Row>(sql: string, ...values: Value[]): Work<Row | undefined> {
  return ((yield { sql, values }) as Row[])[0]
}

/** The first row of a `SELECT`, which nobody else changes until this work is over. */
export function* locked<Row>(sql: string, ...values: Value[]): Work<Row | undefined> {
  return ((yield { sql, values, lock: true }) as Row[])[0]
}

/** A statement of which no rows are read: the next one need not wait for its answer. */
export function* run(sql: string, ...values: Value[]): Work<void> {
  yield { sql, values, unread: true }
}

/** Has a row that a `SELECT` finds to itself from here on, without a look at it. */
export function* lock(sql: string, ...values: Value[]): Work<void> {
  yield { sql, values, lock: true, unread: true }
}

/** Waits for what is written, and tells how long that took. */
export async function timed<T>(told: Told, written: Promise<T>): Promise<T> {
  const begin = performance.now()
  let kept = false
  try {
    const value = await written
    kept = true
    return value
  } finally {
    told?.committed(performance.now() - begin, kept)
  }
}
