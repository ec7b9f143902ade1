import { existsSync, statSync } from 'node:fs'
import { chmod, chown, copyFile, open, rename } from 'node:fs/promises'
import { DatabaseSync } from 'node:sqlite'
import { pathToFileURL } from 'node:url'
import { newestVersion } from './migrations/migrate.ts'
import { openFile, pathIn, temporaryIn } from './sqlite-file.ts'

/** A backup or the place that it is for is not what it should be; the message is one line for the operator. */
export class BackupError extends Error {
  override readonly name = 'BackupError'
}

/** Whether a file is a whole database of this Daehwa, or of an older one. @throws BackupError */
export function checkBackup(file: string): void {
  if (!existsSync(file)) throw new BackupError(`there is no file ${file}`)
  const log = `${file}-wal`
  if (existsSync(log) && statSync(log).size > 0) {
    throw new BackupError(
      `${file} is the database of a server, and not whole without the log beside it. Start a server on that folder, or make a backup of it`,
    )
  }
  const version = versionOf(file)
  if (version <= newestVersion) return
  throw new BackupError(
    `${file} has schema version ${version}, and this Daehwa knows ${newestVersion}. Restore it with the newer Daehwa that wrote it`,
  )
}

/**
 * Puts a backup in the place of the database in a folder. Nobody else can open that database meanwhile, and whenever the
 * process is killed, it is wholly the one or the other.
 *
 * @throws BackupError when there is a database that may not be replaced
 * @throws OpenError when a server uses it
 */
export async function restoreBackup(file: string, dir: string, replaces: boolean): Promise<void> {
  checkBackup(file)
  const { db } = openFile(dir, false)
  try {
    const known = db.prepare('SELECT count(*) AS tables FROM sqlite_master').get()
    if (known?.['tables'] !== 0 && !replaces) {
      throw new BackupError(
        `there is data in ${dir} already. Set DATA_DIR to another folder, or add --replace, which erases what is there`,
      )
    }
    const path = temporaryIn(dir)
    await copyFile(file, path)
    await chmod(path, 0o600)
    const { uid, gid } = statSync(dir)
    if (process.getuid?.() === 0) await chown(path, uid, gid) // root restores for the server's own user
    await sync(path)
    db.exec('PRAGMA journal_mode = delete') // the old write-ahead log would be taken for that of the new database
    await rename(path, pathIn(dir))
    await sync(dir)
  } finally {
    db.close()
  }
}

/** Brings a file, or the names in a folder, to the disk. */
export async function sync(path: string): Promise<void> {
  await using file = await open(path)
  await file.sync()
}

/** @throws BackupError */
function versionOf(file: string): number {
  try {
    // As a file that nobody changes: SQLite puts nothing beside it then.
    const address = new URL(`${pathToFileURL(file)}?immutable=1`)
    using db = new DatabaseSync(address, { readOnly: true })
    const { quick_check: found } = db.prepare('PRAGMA quick_check(1)').get() ?? {}
    if (found !== 'ok') throw new Error(String(found))
    const row = db.prepare('SELECT max(version) AS version FROM schema_migrations').get()
    return Number(row?.['version'])
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new BackupError(`${file} is no whole backup of Daehwa (${reason}). Take another one`)
  }
}
