/** The few words in which the databases differ. */
export interface Dialect {
  /** Put behind a table that is to lie sorted by its primary key. */
  readonly clustered: string
  /** The type of a text that sorts by its bytes. */
  readonly text: string
  /** Unix milliseconds by the clock of the database. */
  readonly now: string
  /** Put behind a query: it locks the rows that it finds of the table `c`, but for those that others have locked. */
  readonly lockFree: string
  /** A query for the tables that are called `?`: a row, or none. */
  readonly tableCalled: string
}

export const sqlite: Dialect = {
  clustered: 'WITHOUT ROWID',
  text: 'TEXT',
  now: "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
  lockFree: '',
  tableCalled: "SELECT name FROM sqlite_master WHERE type = 'table' AND name = ?",
}

export const postgres: Dialect = {
  clustered: '',
  text: 'TEXT COLLATE "C"',
  now: '(extract(epoch FROM clock_timestamp()) * 1000)::bigint',
  lockFree: 'FOR UPDATE OF c SKIP LOCKED',
  tableCalled: 'SELECT 1 AS name FROM (SELECT to_regclass(?) AS found) AS looked WHERE found IS NOT NULL',
}
