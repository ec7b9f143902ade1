import { DaehwaError } from '../conversation/errors.ts'
import type { Store } from '../conversation/store.ts'
import { type Database, first, OpenError, type Told } from './database.ts'
import { dropStaleImports } from './import-work.ts'
import { forgetOthers } from './instance-work.ts'
import { Journal } from './journal/journal.ts'
import { journaledStore } from './journal/journaled-store.ts'
import { migrate, SchemaError } from './migrations/migrate.ts'
import { sqlStore } from './sql-store.ts'
import { type Durability, SqliteDatabase } from './sqlite.ts'

export interface Storage extends AsyncDisposable {
  readonly store: Store
  /** Where the data is, as it may be shown. */
  readonly place: string
  /** Whether other instances may use it too. */
  readonly shared: boolean
  /** How many servers were met behind the address of the database, one after the other. */
  readonly servers: () => number
}

interface StorageOptions {
  /** The address of a Postgres database; without one it is SQLite, in `dir`. */
  readonly url?: string | undefined
  /** Made if absent. */
  readonly dir: string
  /** What the operator calls it by. @default 'DATABASE_URL' */
  readonly named?: string
  readonly durability: Durability
  readonly now: number
  readonly observer?: Told
  /** Whether the schema may be changed. @default true */
  readonly migrates?: boolean | undefined
}

/**
 * Opens the database, and brings its schema up to date.
 *
 * @throws OpenError, one line for the operator, when it cannot be used
 */
export async function openStorage(options: StorageOptions): Promise<Storage> {
  const database = await openDatabase(options)
  const place = placeOf(options)
  const half = await database.read(() => first(database.dialect.tableCalled, 'copy_in_progress'))
  if (half !== undefined) {
    await database.close()
    throw new OpenError(`a copy into ${place} was not finished. Run it again: it goes on where it was`)
  }
  const basics = { place, shared: database.shared, servers: () => database.servers ?? 1 }
  const store = sqlStore(database)
  if (!(database instanceof SqliteDatabase))
    return { store, ...basics, [Symbol.asyncDispose]: () => database.close() }
  const journal = new Journal()
  database.accompany(journal)
  return {
    store: journaledStore(store, database, journal),
    ...basics,
    async [Symbol.asyncDispose]() {
      await database.write(() => journal.putAll()).catch(() => {}) // then the next start does it
      await database.close()
    },
  }
}

/** Where the data is, as it may be shown. */
export const placeOf = ({ url, dir }: Pick<StorageOptions, 'url' | 'dir'>): string =>
  url === undefined ? dir : shownAddress(url)

/** The same without a store. */
export function openDatabase(options: StorageOptions): Promise<Database> {
  return options.url === undefined ? openSqlite(options) : openPostgres(options.url, options)
}

async function openSqlite(options: StorageOptions): Promise<Database> {
  const { dir, durability, now, migrates, observer } = options
  const database = new SqliteDatabase(dir, durability, observer)
  try {
    await migrate(database, now, migrates)
    // Read back after the first write: until then a wrong word in the PRAGMA would go unseen.
    if (!database.isDurable) throw new Error('SQLite did not take its durability')
    // Who has the file has it alone. What was in the journal of one that was killed comes first.
    await database.write(() => new Journal().putAll())
    await database.write(forgetOthers)
    if ((await database.write(() => dropStaleImports(database.dialect, 0))) > 0) await database.scrub()
  } catch (error) {
    await database.close()
    throw new OpenError(reasonOf(error))
  }
  return database
}

async function openPostgres(
  url: string,
  { durability, now, migrates, observer, named = 'DATABASE_URL' }: StorageOptions,
): Promise<Database> {
  const { PostgresDatabase } = await import('./postgres.ts') // 10 MB that SQLite does without
  const place = shownAddress(url)
  const database = new PostgresDatabase(url, durability, observer)
  try {
    await database.check()
    await migrate(database, now, migrates)
  } catch (error) {
    await database.close()
    if (error instanceof SchemaError) throw new OpenError(`${place}: ${error.message}`)
    throw new OpenError(`the database ${place} cannot be used (${reasonOf(error)}). Check ${named}`)
  }
  return database
}

/** The address of a database as it may be shown: without a password, and without parameters, which may hold one. */
function shownAddress(address: string): string {
  const url = new URL(address)
  url.password = ''
  url.search = ''
  return url.href
}

/** Of an error of ours, what the database said: the operator needs that, and not what a caller is told. */
function reasonOf(error: unknown): string {
  if (error instanceof DaehwaError && error.cause !== undefined) return reasonOf(error.cause)
  if (!(error instanceof Error)) return String(error)
  const code: unknown = 'code' in error ? error.code : undefined // all there is where several addresses were tried
  return error.message || String(code ?? error.name)
}
