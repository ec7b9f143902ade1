import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Work } from './database.ts'

/** The statements of a SQLite database, each prepared once; one that gives its rows as objects and as arrays is two. */
export class Statements {
  readonly #db: DatabaseSync
  readonly #ofObjects = new Map<string, StatementSync>()
  readonly #ofArrays = new Map<string, StatementSync>()

  constructor(db: DatabaseSync) {
    this.#db = db
  }

  get(sql: string, asArrays = false): StatementSync {
    const all = asArrays ? this.#ofArrays : this.#ofObjects
    const known = all.get(sql)
    if (known !== undefined) return known
    const statement = this.#db.prepare(sql)
    if (asArrays) statement.setReturnArrays(true)
    all.set(sql, statement)
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
