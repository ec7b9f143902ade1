import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Work } from './database.ts'

/** The statements of a SQLite database, each prepared once. */
export class Statements {
  readonly #db: DatabaseSync
  readonly #known = new Map<string, StatementSync>()

  constructor(db: DatabaseSync) {
    this.#db = db
  }

  /** A statement gives its rows one way only: one that is used both ways would have to be two. */
  get(sql: string, asArrays = false): StatementSync {
    const known = this.#known.get(sql)
    if (known !== undefined) return known
    const statement = this.#db.prepare(sql)
    if (asArrays) statement.setReturnArrays(true)
    this.#known.set(sql, statement)
    return statement
  }

  /** Runs work to its end. `before` is called before each query. */
  run<T>(work: () => Work<T>, before?: () => void): T {
    const steps = work()
    let step = steps.next([])
    while (!step.done) {
      before?.()
      const { sql, values, asArrays } = step.value
      let rows: unknown[]
      try {
        rows = this.get(sql, asArrays).all(...values)
      } catch (error) {
        step = steps.throw(error)
        continue
      }
      step = steps.next(rows)
    }
    return step.value
  }
}
