import { closeSync, fdatasync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { DaehwaError } from '../conversation/errors.ts'
import type { DatabaseCopy } from '../conversation/store.ts'
import { copyOf } from './backup.ts'
import type { Companion, Database, Told, Work } from './database.ts'
import * as dialects from './dialects.ts'
import { diskError, openFile, storageError } from './sqlite-file.ts'
import { Statements } from './sqlite-statements.ts'

/** `full`: a commit is on the disk before it resolves. `normal`: it survives a killed process, not a power cut. */
export type Durability = 'full' | 'normal'

interface Waiting {
  readonly work: () => Work<unknown>
  /** Whether it may change the schema. */
  readonly alters: boolean
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
}

/** The `synchronous` level that SQLite calls normal. */
const normal = 1

/**
 * SQLite in this process. What is written within one turn of the event loop, or while the disk takes what was written before,
 * becomes one transaction, so that many small writes share one fsync; each is a savepoint of its own and fails alone.
 *
 * SQLite itself would keep everybody waiting for each fsync. So it only writes its log, as it does by the level `normal`, and
 * the log is brought to the disk here while others go on. Nobody is told that anything is kept, or reads it from a table, before
 * it is there.
 */
export class SqliteDatabase implements Database {
  readonly dialect = dialects.sqlite
  readonly shared = false
  readonly #dir: string
  readonly #db: DatabaseSync
  readonly #told: Told
  readonly #statements: Statements
  #waiting: Waiting[] = []
  #companion: Companion | undefined
  /** The write-ahead log, where commits have to be on the disk. */
  #log: number | undefined
  /** Until the last transaction is on the disk. */
  #syncing: Promise<void> | undefined

  /** @throws OpenError when the folder cannot be used, or another process uses it */
  constructor(dir: string, durability: Durability, told?: Told) {
    this.#dir = dir
    const { db, log } = openFile(dir, durability === 'full')
    this.#db = db
    this.#log = log
    this.#statements = new Statements(this.#db)
    this.#told = told
    this.#db.exec('PRAGMA synchronous = normal; PRAGMA fullfsync = on; PRAGMA secure_delete = on')
  }

  /** From here on it takes part in every transaction. There is one at most. */
  accompany(companion: Companion): void {
    this.#companion = companion
  }

  /** Whether SQLite syncs its log before it empties it, and the file after that. */
  get isDurable(): boolean {
    return this.#db.prepare('PRAGMA synchronous').get()?.['synchronous'] === normal
  }

  get keeping(): Promise<void> | undefined {
    return this.#syncing
  }

  write<T>(work: () => Work<T>): Promise<T> {
    return this.#enqueue(work, false)
  }

  alter<T>(work: () => Work<T>): Promise<T> {
    return this.#enqueue(work, true) // no other process has the file
  }

  async read<T>(work: () => Work<T>): Promise<T> {
    try {
      return this.#statements.run(work)
    } catch (error) {
      throw storageError(error)
    } finally {
      if (this.#syncing !== undefined) await this.#syncing
    }
  }

  /** Empties the write-ahead log; in the file itself `secure_delete` has overwritten what was erased. */
  async scrub(): Promise<void> {
    try {
      this.#db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    } catch (error) {
      throw storageError(error)
    }
  }

  async backup(): Promise<DatabaseCopy> {
    try {
      return await copyOf(this.#db, this.#dir)
    } catch (error) {
      throw storageError(error)
    }
  }

  async close(): Promise<void> {
    while (this.#waiting.length > 0 || this.#syncing !== undefined) {
      this.#commitWaiting()
      await this.#syncing
    }
    const log = this.#log
    this.#log = undefined
    if (log !== undefined) closeSync(log)
    this.#db.close()
  }

  async #enqueue<T>(work: () => Work<T>, alters: boolean): Promise<T> {
    if (!this.#db.isOpen) throw DaehwaError.of('storage_unavailable')
    if (this.#waiting.length === 0 && this.#syncing === undefined) this.#commitSoon()
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push({ work, alters, resolve: resolve as (value: unknown) => void, reject })
    })
  }

  #commitSoon(): void {
    setImmediate(() => this.#commitWaiting())
  }

  #commitWaiting(): void {
    if (this.#waiting.length === 0 || this.#syncing !== undefined) return
    const batch = this.#waiting
    this.#waiting = []
    const settle: (() => void)[] = []
    const begin = performance.now()
    const before = this.#changes()
    let written = false
    try {
      this.#statements.get('BEGIN IMMEDIATE').run()
      for (const item of batch) settle.push(this.#attempt(item))
      const companion = this.#companion
      if (companion !== undefined) this.#statements.run(() => companion.beforeCommit())
      this.#statements.get('COMMIT').run()
      written = this.#changes() > before || batch.some(({ alters }) => alters)
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
      this.#companion?.undone()
      this.#told?.committed(performance.now() - begin, false)
      for (const { reject } of batch) reject(storageError(error))
      return
    }
    const kept = () => {
      this.#told?.committed(performance.now() - begin, true)
      for (const done of settle) done()
    }
    if (this.#log === undefined || !written) kept()
    else this.#sync(this.#log, kept)
  }

  /** How many rows were ever changed; changes of the schema do not count. */
  #changes(): number {
    return Number(this.#statements.get('SELECT total_changes() AS count').get()?.['count'])
  }

  /** Brings the log to the disk. What comes meanwhile is the next transaction. */
  #sync(log: number, kept: () => void): void {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#syncing = promise
    fdatasync(log, (error) => {
      if (error !== null) throw diskError(error) // to try again is no use: systems say then that all is well
      this.#syncing = undefined
      kept()
      resolve()
      if (this.#waiting.length > 0) this.#commitSoon()
    })
  }

  /** Runs one piece of a batch. Its failure undoes it alone, unless SQLite has undone the whole transaction. */
  #attempt({ work, resolve, reject }: Waiting): () => void {
    let saved = false
    const save = () => {
      if (!saved) this.#statements.get('SAVEPOINT piece').run()
      saved = true
    }
    try {
      const value = this.#statements.run(work, save)
      if (saved) this.#statements.get('RELEASE piece').run()
      return () => resolve(value)
    } catch (error) {
      if (!this.#db.isTransaction) throw error
      if (saved) this.#db.exec('ROLLBACK TO piece; RELEASE piece')
      return () => reject(storageError(error))
    }
  }
}
