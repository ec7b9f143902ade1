import { type FileHandle, open, rm } from 'node:fs/promises'
import { backup, type DatabaseSync } from 'node:sqlite'
import { setTimeout as wait } from 'node:timers/promises'
import { DaehwaError } from '../conversation/errors.ts'
import type { DatabaseCopy } from '../conversation/store.ts'
import { temporaryIn } from './sqlite-file.ts'

/** How often what was copied is brought to the disk meanwhile. Milliseconds. */
const syncEvery = 20

/**
 * Copies a database while it is written to: the copy is the database as it is at the end, with all that was committed by then.
 * It is a file without a name, which is gone with the process at the latest.
 */
export async function copyOf(db: DatabaseSync, dir: string): Promise<DatabaseCopy> {
  const path = temporaryIn(dir)
  const file = await open(path, 'wx+', 0o600)
  try {
    const copied = new AbortController()
    const syncing = syncNowAndThen(file, copied.signal)
    await untilCopied(db, path).finally(() => copied.abort())
    await syncing
    const { size } = await file.stat()
    return { size, bytes: file.createReadStream({ start: 0 }), [Symbol.asyncDispose]: () => closed(file) }
  } catch (error) {
    await closed(file)
    throw error
  } finally {
    await rm(path, { force: true })
    await rm(`${path}-journal`, { force: true })
  }
}

/** How often a copy is begun anew that could not be made at the moment, and after how long. Milliseconds. */
const again = { times: 20, after: 50 } as const

/** A copy fails, without saying why (`errcode` 0), when what else is done to the database comes in between: that passes. */
async function untilCopied(db: DatabaseSync, path: string): Promise<void> {
  for (let tried = 1; ; tried++) {
    try {
      await backup(db, path)
      return
    } catch (error) {
      const passes = error instanceof Error && 'errcode' in error && error.errcode === 0
      if (!passes) throw error
      if (tried === again.times) throw DaehwaError.of('storage_unavailable').after(1)
      await wait(again.after)
    }
  }
}

/** The last step of a copy waits for the disk, and writers wait for it: when most of it is there already, that is short. */
async function syncNowAndThen(file: FileHandle, copied: AbortSignal): Promise<void> {
  while (!copied.aborted) {
    await file.sync().catch(() => {}) // the copy itself says what is wrong with the disk
    await wait(syncEvery, undefined, { signal: copied }).catch(() => {})
  }
}

/** A file that is closed already may be closed again. */
const closed = (file: FileHandle): Promise<void> => file.close().catch(() => {})
