import { all, type Database, first, type Work } from '../database.ts'
import type { Dialect } from '../dialects.ts'
import { conversations } from './0001-conversations.ts'
import { lazyCounts } from './0002-lazy-counts.ts'
import { clients } from './0003-clients.ts'
import { safeCounts } from './0004-safe-counts.ts'
import { erasedTurns } from './0005-erased-turns.ts'
import { instances } from './0006-instances.ts'
import { followedTurns } from './0007-followed-turns.ts'
import { keys } from './0008-keys.ts'
import { limitsAndUsage } from './0009-limits-and-usage.ts'
import { retentionAndImports } from './0010-retention-and-imports.ts'
import { journal } from './0011-journal.ts'
import { turnsOutsideTheHistory } from './0012-turns-outside-the-history.ts'
import { rowsInOrder } from './0013-rows-in-order.ts'
import { nothingWithoutAClient } from './0014-nothing-without-a-client.ts'

/** Every change of the schema, oldest first. One that has been released is never edited. */
const migrations = [
  conversations,
  lazyCounts,
  clients,
  safeCounts,
  erasedTurns,
  instances,
  followedTurns,
  keys,
  limitsAndUsage,
  retentionAndImports,
  journal,
  turnsOutsideTheHistory,
  rowsInOrder,
  nothingWithoutAClient,
]

/** The schema of the data is not what this Daehwa needs; the message is one line for the operator. */
export class SchemaError extends Error {
  override readonly name = 'SchemaError'
}

/** The version that this Daehwa needs. */
export const newestVersion = migrations.length

/**
 * Brings the schema up to date, each step in a transaction of its own; of several processes that start at once each
 * finds the steps of the others.
 *
 * @throws SchemaError when the data was written by a newer Daehwa, or by an older one and nothing may be changed
 */
export async function migrate(database: Database, now: number, mayChange = true): Promise<void> {
  while (await database.alter(() => nextStep(database.dialect, now, mayChange)));
}

/** Takes one step; false when there is none left. */
function* nextStep(dialect: Dialect, now: number, mayChange: boolean): Work<boolean> {
  if (mayChange) {
    yield* all(
      'CREATE TABLE IF NOT EXISTS schema_migrations (version INTEGER PRIMARY KEY, applied_at BIGINT NOT NULL)',
    )
  }
  const version = yield* currentVersion(dialect)
  if (version > migrations.length) {
    throw new SchemaError(
      `the data has schema version ${version}, and this Daehwa knows ${migrations.length}. Start the newer Daehwa that wrote it`,
    )
  }
  const statements = migrations[version]
  if (statements === undefined) return false
  if (!mayChange) {
    throw new SchemaError(
      `the schema of the data is at version ${version}, and this Daehwa needs ${migrations.length}. Bring it up to date first: npm run daehwa -- migrate`,
    )
  }
  for (const statement of statements(dialect)) yield* all(statement)
  yield* all('INSERT INTO schema_migrations (version, applied_at) VALUES (?, ?)', version + 1, now)
  return true
}

function* currentVersion({ tableCalled }: Dialect): Work<number> {
  if ((yield* first(tableCalled, 'schema_migrations')) === undefined) return 0
  const row = yield* first<{ version: number | null }>(
    'SELECT max(version) AS version FROM schema_migrations',
  )
  return row?.version ?? 0
}
