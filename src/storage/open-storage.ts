import type { Store } from '../conversation/store.ts'
import { OpenError } from './database.ts'
import { migrate } from './migrations/migrate.ts'
import { sqlStore } from './sql-store.ts'
import { type Durability, SqliteDatabase } from './sqlite.ts'

export interface Storage extends AsyncDisposable {
  readonly store: Store
}

/**
 * Opens the database in `dir`, made if absent, and brings its schema up to date.
 *
 * @throws OpenError, one line for the operator, when it cannot be used
 */
export async function openStorage(options: {
  dir: string
  durability: Durability
  now: number
}): Promise<Storage> {
  const { dir, durability, now } = options
  const database = new SqliteDatabase(dir, durability)
  try {
    await migrate(database, now)
    // Read back after the first write: until then a wrong word in the PRAGMA would go unseen.
    if (!database.isDurableAs(durability)) throw new Error(`SQLite did not take the durability ${durability}`)
  } catch (error) {
    await database.close()
    throw new OpenError(error instanceof Error ? error.message : String(error))
  }
  return { store: sqlStore(database), [Symbol.asyncDispose]: () => database.close() }
}
