import { all, type Database, first } from '../database.ts'
import { conversations } from './0001-conversations.ts'
import { lazyCounts } from './0002-lazy-counts.ts'
import { clients } from './0003-clients.ts'
import { safeCounts } from './0004-safe-counts.ts'
import { erasedTurns } from './0005-erased-turns.ts'

/** Every change of the schema, oldest first. One that has been released is never edited. */
const migrations = [conversations, lazyCounts, clients, safeCounts, erasedTurns]

/**
 * Brings the schema up to date, each step in a transaction of its own.
 *
 * @throws Error when the data was written by a newer Daehwa
 */
export async function migrate(database: Database, now: number): Promise<void> {
  await database.write(() =>
    all(
      'CREATE TABLE IF NOT EXISTS schema_migrations (version INTEGER PRIMARY KEY, applied_at BIGINT NOT NULL)',
    ),
  )
  const row = await database.read(() =>
    first<{ version: number | null }>('SELECT max(version) AS version FROM schema_migrations'),
  )
  const version = row?.version ?? 0
  if (version > migrations.length) {
    throw new Error(
      `the data has schema version ${version}, and this Daehwa knows ${migrations.length}. Start the newer Daehwa that wrote it`,
    )
  }
  for (const [index, statements] of migrations.entries()) {
    if (index < version) continue
    await database.write(function* () {
      for (const statement of statements(database.dialect)) yield* all(statement)
      yield* all('INSERT INTO schema_migrations (version, applied_at) VALUES (?, ?)', index + 1, now)
    })
  }
}
