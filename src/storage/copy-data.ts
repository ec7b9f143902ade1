import { createHash } from 'node:crypto'
import { all, type Database, first, run, type Value, type Work } from './database.ts'

/** What is copied, parents first, with the primary key of each table, by which it is read and written. */
const tables = {
  tenants: ['tenant'],
  conversations: ['tenant', 'id'],
  compactions: ['tenant', 'conversation'],
  turns: ['tenant', 'id'],
  items: ['tenant', 'conversation', 'seq', 'position'],
  api_keys: ['id'],
  usage: ['tenant', 'client_name', 'day', 'key_id', 'model'],
  key_days: ['key_id', 'day'],
} as const

type Table = keyof typeof tables
type Row = Readonly<Record<string, Value>>

/** How many rows go at once: as many as make up about so many UTF-16 units of text. */
const batch = { first: 200, most: 1_000, text: 4 * 1024 * 1024 }

export interface CopyProgress {
  readonly step: 'copying' | 'checking'
  readonly table: string
  readonly done: number
  readonly total: number
}

export interface Copied {
  readonly table: string
  readonly rows: number
  /** SHA-256 over all rows, which is the same on both sides. */
  readonly digest: string
}

/** The data of both sides is not what it should be; the message is one line for the operator. */
export class CopyError extends Error {
  override readonly name = 'CopyError'
}

/**
 * Copies everything from one database into another one of the same schema, which is empty or holds the beginning of the same
 * copy: one that was interrupted goes on where it was. Then compares both, row by row. Nobody else may write to either.
 *
 * @throws CopyError when a server uses either, when the target holds other data, or is not equal in the end
 */
export async function copyData(
  from: Database,
  to: Database,
  progress: (now: CopyProgress) => void,
): Promise<Copied[]> {
  for (const database of [from, to]) await requireUnused(database)
  await requireOurs(to)
  for (const table of tablesOf()) {
    const total = await count(from, table)
    let done = await count(to, table)
    const last = done === 0 ? undefined : await to.read(() => edge(table, 'DESC'))
    for await (const rows of pages(from, table, last)) {
      await to.write(() => insert(table, rows))
      done += rows.length
      progress({ step: 'copying', table, done, total })
    }
  }
  const copied: Copied[] = []
  for (const table of tablesOf()) copied.push(await compare(from, to, table, progress))
  await to.write(() => run('DROP TABLE copy_in_progress'))
  return copied
}

const tablesOf = (): Table[] => Object.keys(tables) as Table[]

/** Whoever has a file has it alone; of a database that is shared its instances tell. */
async function requireUnused(database: Database): Promise<void> {
  if (!database.shared) return
  const { now } = database.dialect
  const live = await database.read(() =>
    first<{ id: string }>(`SELECT id FROM instances WHERE lease_until > ${now}`),
  )
  if (live === undefined) return
  throw new CopyError(
    'a server uses the database. Stop it first; one that was killed counts until its lease is over',
  )
}

/** Marks an empty target as ours; one that holds data and no mark belongs to somebody. */
async function requireOurs(to: Database): Promise<void> {
  const known = await to
    .read(() => all('SELECT started_at FROM copy_in_progress'))
    .then(() => true)
    .catch(() => false)
  if (known) return
  if ((await count(to, 'conversations')) + (await count(to, 'tenants')) > 0) {
    throw new CopyError('the database that is copied to holds conversations already. Copy into an empty one')
  }
  await to.alter(() => run('CREATE TABLE copy_in_progress (started_at BIGINT)'))
}

async function count(database: Database, table: Table): Promise<number> {
  const row = await database.read(() => first<{ count: number }>(`SELECT count(*) AS count FROM ${table}`))
  return Number(row?.count ?? 0)
}

/** The first or the last row of a table, by its key. */
function* edge(table: Table, order: 'ASC' | 'DESC'): Work<Row | undefined> {
  const by = tables[table].map((column) => `${column} ${order}`).join(', ')
  return yield* first<Row>(`SELECT * FROM ${table} ORDER BY ${by} LIMIT 1`)
}

/** The rows behind `after` in the order of their key. A page gets smaller where rows are large. */
async function* pages(database: Database, table: Table, after: Row | undefined): AsyncGenerator<Row[]> {
  let size = batch.first
  for (let last = after; ; ) {
    const from = last
    const limit = size
    const rows = await database.read(() => page(table, from, limit))
    if (rows.length > 0) yield rows
    if (rows.length < limit) return
    last = rows.at(-1)
    const text = rows.reduce((sum, row) => sum + textOf(row), 0)
    size = Math.max(1, Math.min(batch.most, Math.floor((limit * batch.text) / Math.max(text, 1))))
  }
}

function* page(table: Table, after: Row | undefined, limit: number): Work<Row[]> {
  const key = tables[table]
  const where = after === undefined ? '' : `WHERE (${key.join(', ')}) > (${key.map(() => '?').join(', ')})`
  const values = after === undefined ? [] : key.map((column) => after[column] ?? null)
  return yield* all<Row>(
    `SELECT * FROM ${table} ${where} ORDER BY ${key.join(', ')} LIMIT ?`,
    ...[...values, limit],
  )
}

function* insert(table: Table, rows: readonly Row[]): Work<void> {
  const columns = columnsOf(rows[0])
  const sql = `INSERT INTO ${table} (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')}) ON CONFLICT DO NOTHING`
  for (const row of rows) yield* run(sql, ...columns.map((column) => row[column] ?? null))
}

async function compare(
  from: Database,
  to: Database,
  table: Table,
  progress: (now: CopyProgress) => void,
): Promise<Copied> {
  const total = 2 * (await count(from, table))
  let done = 0
  const digestOf = async (database: Database): Promise<{ rows: number; digest: string }> => {
    const hash = createHash('sha256')
    let rows = 0
    for await (const some of pages(database, table, undefined)) {
      for (const row of some) hash.update(`${JSON.stringify(columnsOf(row).map((column) => row[column]))}\n`)
      rows += some.length
      done += some.length
      progress({ step: 'checking', table, done, total })
    }
    return { rows, digest: hash.digest('hex') }
  }
  const [source, copy] = [await digestOf(from), await digestOf(to)]
  if (source.rows === copy.rows && source.digest === copy.digest) return { table, ...source }
  throw new CopyError(
    `the copies of ${table} differ: ${source.rows} rows became ${copy.rows}. Was a server running? Drop the target and copy again`,
  )
}

/** Columns by their names: databases have them in orders of their own. */
const columnsOf = (row: Row | undefined): string[] => Object.keys(row ?? {}).sort()

const textOf = (row: Row): number =>
  Object.values(row).reduce<number>((sum, value) => sum + (typeof value === 'string' ? value.length : 0), 0)
