import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { DaehwaError } from '../conversation/errors.ts'
import type { DatabaseCopy } from '../conversation/store.ts'
import { copyOf } from './backup.ts'
import type { Companion, Database, Told, Work } from './database.ts'
import * as dialects from './dialects.ts'
import { openFile, storageError } from './sqlite-file.ts'

/** `full`: a commit is on the disk before it resolves. `normal`: it survives a killed process, not a power cut. */
export type Durability = 'full' | 'normal'

interface Waiting {
  readonly work: () => Work<unknown>
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
}

const levels = { full: 2, normal: 1 } as const

/**
 * SQLite in this process. What is written within one turn of the event loop becomes one transaction, so that
 * many small writes share one fsync; each is a savepoint of its own and fails alone.
 */
export class SqliteDatabase implements Database {
  readonly dialect = dialects.sqlite
  readonly shared = false
  readonly #dir: string
  readonly #db: DatabaseSync
  readonly #told: Told
  readonly #statements = new Map<string, StatementSync>()
  #waiting: Waiting[] = []
  #companion: Companion | undefined

  /** @throws OpenError when the folder cannot be used, or another process uses it */
  constructor(dir: string, durability: Durability, told?: Told) {
    this.#dir = dir
    this.#db = openFile(dir)
    this.#told = told
    this.#db.exec(`PRAGMA synchronous = ${durability}; PRAGMA fullfsync = on; PRAGMA secure_delete = on`)
  }

  /** From here on it takes part in every transaction. There is one at most. */
  accompany(companion: Companion): void {
    this.#companion = companion
  }

  /** The `synchronous` level that is in force: 2 is full, 1 is normal. */
  isDurableAs(durability: Durability): boolean {
    return this.#db.prepare('PRAGMA synchronous').get()?.['synchronous'] === levels[durability]
  }

  async write<T>(work: () => Work<T>): Promise<T> {
    if (!this.#db.isOpen) throw DaehwaError.of('storage_unavailable')
    if (this.#waiting.length === 0) setImmediate(() => this.#commitWaiting())
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push({ work, resolve: resolve as (value: unknown) => void, reject })
    })
  }

  alter<T>(work: () => Work<T>): Promise<T> {
    return this.write(work) // no other process has the file
  }

  async read<T>(work: () => Work<T>): Promise<T> {
    try {
      return this.#run(work)
    } catch (error) {
      throw storageError(error)
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
    this.#commitWaiting()
    this.#db.close()
  }

  #commitWaiting(): void {
    const batch = this.#waiting
    this.#waiting = []
    if (batch.length === 0) return
    const settle: (() => void)[] = []
    const begin = performance.now()
    try {
      this.#statement('BEGIN IMMEDIATE').run()
      for (const item of batch) settle.push(this.#attempt(item))
      const companion = this.#companion
      if (companion !== undefined) this.#run(() => companion.beforeCommit())
      this.#statement('COMMIT').run()
      this.#told?.committed(performance.now() - begin, true)
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
      this.#companion?.undone()
      this.#told?.committed(performance.now() - begin, false)
      for (const { reject } of batch) reject(storageError(error))
      return
    }
    for (const done of settle) done()
  }

  /** Runs one piece of a batch. Its failure undoes it alone, unless SQLite has undone the whole transaction. */
  #attempt({ work, resolve, reject }: Waiting): () => void {
    let saved = false
    const save = () => {
      if (!saved) this.#statement('SAVEPOINT piece').run()
      saved = true
    }
    try {
      const value = this.#run(work, save)
      if (saved) this.#statement('RELEASE piece').run()
      return () => resolve(value)
    } catch (error) {
      if (!this.#db.isTransaction) throw error
      if (saved) this.#db.exec('ROLLBACK TO piece; RELEASE piece')
      return () => reject(storageError(error))
    }
  }

  /** `before` is called before each query. */
  #run<T>(work: () => Work<T>, before?: () => void): T {
    const steps = work()
    let step = steps.next([])
    while (!step.done) {
      before?.()
      const { sql, values, asArrays = false } = step.value
      let rows: unknown[]
      try {
        rows = this.#statement(sql, asArrays).all(...values)
      } catch (error) {
        step = steps.throw(error)
        continue
      }
      step = steps.next(rows)
    }
    return step.value
  }

  /** A statement gives its rows one way only: one that is used both ways would have to be two. */
  #statement(sql: string, asArrays = false): StatementSync {
    const known = this.#statements.get(sql)
    if (known !== undefined) return known
    const statement = this.#db.prepare(sql)
    if (asArrays) statement.setReturnArrays(true)
    this.#statements.set(sql, statement)
    return statement
  }
}
