import { randomUUID } from 'node:crypto'
import { chmodSync, mkdirSync, openSync, readdirSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { DaehwaError } from '../conversation/errors.ts'
import { DiskError, OpenError } from './database.ts'

export const pathIn = (dir: string): string => join(dir, 'daehwa.db')

/** A file beside the database that is of use only to the process that makes it: the next one removes what is left of it. */
export const temporaryIn = (dir: string): string => join(dir, `${temporary}${randomUUID()}`)

const temporary = '.daehwa.db-'
const isTemporary = (file: string): boolean => new RegExp(`^${temporary}[0-9a-f-]{36}(-journal)?$`).test(file)

/**
 * Opens the database in a folder, for this process alone; both are made if absent. With `withLog` also its write-ahead log, for
 * its bytes to be brought to the disk, and for nothing else.
 *
 * @throws OpenError when the folder cannot be used, or another process uses it
 */
export function openFile(dir: string, withLog: boolean): { db: DatabaseSync; log: number | undefined } {
  try {
    makeDir(dir)
    const path = pathIn(dir)
    const db = new DatabaseSync(path, { timeout: 0 })
    chmodSync(path, 0o600)
    // The lock is held as long as the process lives: a second one cannot open the data, a killed one leaves nothing behind.
    db.exec('PRAGMA locking_mode = exclusive; PRAGMA journal_mode = wal; BEGIN IMMEDIATE; COMMIT')
    // What a disk failed to take may still be read, from memory, and nobody would write it again: it is brought into the file, and the log begun anew.
    db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    for (const file of readdirSync(dir)) if (isTemporary(file)) rmSync(join(dir, file))
    return { db, log: withLog ? openSync(`${pathIn(dir)}-wal`, 'r+') : undefined }
  } catch (error) {
    if (sqliteCode(error) === sqlite.busy) {
      throw new OpenError(
        `another process uses the data in ${dir}. Stop it, or set DATA_DIR to another folder`,
        { inUse: true },
      )
    }
    const reason = error instanceof Error ? error.message : String(error)
    throw new OpenError(
      `the data in ${dir} cannot be opened (${reason}). Check the folder and whose its files are, or set DATA_DIR to another`,
    )
  }
}

/** Makes a folder and those above it. (Node's own way never returns where the system forbids it, as in /proc.) */
function makeDir(dir: string): void {
  try {
    mkdirSync(dir, { mode: 0o700 })
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'EEXIST') return
    if (code !== 'ENOENT' || dirname(dir) === dir) throw error
    makeDir(dirname(dir))
    mkdirSync(dir, { mode: 0o700 })
  }
}

export const diskError = (cause: NodeJS.ErrnoException): DiskError =>
  new DiskError(
    `the disk did not take what was written (${cause.code}). Start it again when the disk is well: all that was answered is kept`,
    { cause },
  )

/** Primary result codes, from SQLite's "Result and Error Codes". */
const sqlite = {
  busy: 5,
  locked: 6,
  readonly: 8,
  ioerr: 10,
  corrupt: 11,
  full: 13,
  cantopen: 14,
  notadb: 26,
} as const
const unavailable: readonly number[] = Object.values(sqlite)

/** What SQLite throws, as `storage_…`; a defect of a statement stays as it is. */
export function storageError(error: unknown): unknown {
  const code = sqliteCode(error)
  if (code === sqlite.full) return Object.assign(DaehwaError.of('storage_full'), { cause: error })
  if (code === undefined || !unavailable.includes(code)) return error
  return Object.assign(DaehwaError.of('storage_unavailable').after(1), { cause: error })
}

function sqliteCode(error: unknown): number | undefined {
  const code: unknown = error instanceof Error && 'errcode' in error ? error.errcode : undefined
  return typeof code === 'number' ? code & 0xff : undefined
}
