import { afterAll, beforeAll } from 'vitest'
import { type LocalPostgres, localPostgres } from './local-postgres.ts'

export type TestPostgres = Omit<LocalPostgres, 'create' | 'remove' | 'pid'>

/** A real Postgres for the tests of one file. What it writes is not waited for on the disk: nobody cuts its power. */
export function postgresForTests(): TestPostgres {
  const postgres = localPostgres(['fsync=off'])
  beforeAll(postgres.create)
  afterAll(postgres.remove)
  return postgres
}
