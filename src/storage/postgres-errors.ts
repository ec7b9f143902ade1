import { DatabaseError } from 'pg'
import { DaehwaError } from '../conversation/errors.ts'

/**
 * SQLSTATE codes and classes, from Postgres's "Error Codes", that say that the database cannot be used now: connection, no
 * resources, operator's intervention, system error, corruption, not let in, no such database, a standby, time limits.
 */
const unavailable = ['08', '53', '57', '58', 'XX', '28', '3D', '25006', '25P03', '25P04', '55P03']
const diskFull = '53100'

/** Another transaction came first: the same work, begun anew, finds what that one left. */
const lostRaces = { serialization: '40001', deadlock: '40P01', unique: '23505' } as const

/** What a database or the connection to it throws, as `storage_…`; a defect of a statement stays as it is. */
export function storageError(error: unknown): unknown {
  const code = error instanceof DatabaseError ? (error.code ?? '') : undefined
  if (code === diskFull) return Object.assign(DaehwaError.of('storage_full'), { cause: error })
  if (code !== undefined && !unavailable.some((known) => code.startsWith(known))) return error
  return Object.assign(DaehwaError.of('storage_unavailable').after(1), { cause: error })
}

export const isLostRace = (error: unknown): boolean =>
  error instanceof DatabaseError && Object.values<unknown>(lostRaces).includes(error.code)

/** What is thrown when a race was lost too often. A key that is there already is a defect of the statement. */
export const afterRaces = (error: unknown): unknown =>
  isLostRace(error) && (error as DatabaseError).code !== lostRaces.unique
    ? Object.assign(DaehwaError.of('storage_unavailable').after(1), { cause: error })
    : error
