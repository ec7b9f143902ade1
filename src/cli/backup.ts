import { existsSync } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { defineCommand } from 'citty'
import { type Config, parseConfig } from '../config/config.ts'
import { readEnv, readFile } from '../config/env.ts'
import { backedUpByPostgres } from '../http/routes/backup.ts'
import { BackupError, checkBackup, sync } from '../storage/restore.ts'
import { SqliteDatabase } from '../storage/sqlite.ts'
import { pathIn } from '../storage/sqlite-file.ts'
import { download, runningServer } from './admin.ts'

/** `daehwa backup`: a copy of everything, also while the server works. */
export const backup = defineCommand({
  meta: { name: 'backup', description: 'Copy everything into a file, while the server runs or not' },
  args: {
    file: { type: 'positional', required: true, description: 'where to, as daehwa-backup.db' },
    replace: { type: 'boolean', description: 'replace the file, if it is there' },
  },
  async run({ args: { file, replace = false } }) {
    if (existsSync(file) && !replace)
      throw new BackupError(`${file} is there already. Name another file, or add --replace`)
    if (!existsSync(dirname(file)))
      throw new BackupError(`there is no folder ${dirname(file)}. Make it first`)
    const config = parseConfig(readEnv(), readFile)
    const base = await runningServer(config)
    if (base === undefined) await backUpData(config, file)
    else await writeWhole(file, await download(base, config, '/admin/backup'))
    process.stdout.write(`${file} has everything that was acknowledged before this command began.\n`)
  },
})

/** Where no server runs. The schema stays as it is, so that a newer Daehwa can back up the data before it changes them. */
async function backUpData({ databaseUrl, dataDir, durability }: Config, file: string): Promise<void> {
  if (databaseUrl !== undefined) throw new BackupError(backedUpByPostgres)
  if (!existsSync(pathIn(dataDir)))
    throw new BackupError(`there is no data in ${dataDir}. Set DATA_DIR to the folder that holds daehwa.db`)
  const database = new SqliteDatabase(dataDir, durability)
  try {
    await using copy = await database.backup()
    await writeWhole(file, copy.bytes)
  } finally {
    await database.close()
  }
}

/** Writes a backup under another name first, so that a file of this name is whole whenever it is there. */
async function writeWhole(file: string, bytes: AsyncIterable<Uint8Array>): Promise<void> {
  const part = `${file}.part`
  await rm(part, { force: true })
  try {
    await writeBytes(part, bytes)
    checkBackup(part)
    await rename(part, file)
    await sync(dirname(file))
  } catch (error) {
    await rm(part, { force: true })
    throw error
  }
}

async function writeBytes(path: string, bytes: AsyncIterable<Uint8Array>): Promise<void> {
  await using to = await open(path, 'wx', 0o600)
  for await (const piece of bytes) await to.writeFile(piece)
  await to.sync()
}
