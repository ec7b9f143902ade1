import type { ClientBase } from 'pg'

/** The columns by which each table is divided. Messages are most of the bytes, and may also be divided within a tenant. */
const keys = {
  conversations: 'tenant',
  turns: 'tenant',
  items: 'tenant, conversation',
  compactions: 'tenant, conversation',
} as const

/** Divides the tables of an existing database by hash, with what is in them. No instance may run meanwhile. */
export async function partitionTables(client: ClientBase, count: number): Promise<void> {
  await client.query('BEGIN')
  for (const [table, key] of Object.entries(keys)) await partition(client, table, key, count)
  await client.query('COMMIT; ANALYZE')
}

/** What Postgres says to a table that is divided by other columns; undefined where it has nothing against them. */
export async function objection(client: ClientBase, table: string, key: string): Promise<string | undefined> {
  await client.query('BEGIN')
  try {
    await partition(client, table, key, 2)
    return undefined
  } catch (error) {
    const { message, detail } = error as { message: string; detail?: string }
    return [message, detail].filter(Boolean).join(': ')
  } finally {
    await client.query('ROLLBACK')
  }
}

async function partition(client: ClientBase, table: string, key: string, count: number): Promise<void> {
  const before = `${table}_before`
  await client.query(`ALTER TABLE ${table} RENAME TO ${before}`)
  await client.query(`CREATE TABLE ${table} (LIKE ${before} INCLUDING ALL) PARTITION BY HASH (${key})`)
  for (let part = 0; part < count; part++) {
    const values = `FOR VALUES WITH (MODULUS ${count}, REMAINDER ${part})`
    await client.query(`CREATE TABLE ${table}_${part} PARTITION OF ${table} ${values}`)
  }
  await client.query(`INSERT INTO ${table} SELECT * FROM ${before}`)
  await client.query(`DROP TABLE ${before}`)
}
