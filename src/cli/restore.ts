import { defineCommand } from 'citty'
import { parseConfig } from '../config/config.ts'
import { readEnv, readFile } from '../config/env.ts'
import { backedUpByPostgres } from '../http/routes/backup.ts'
import { BackupError, restoreBackup } from '../storage/restore.ts'

/** `daehwa restore`: a backup becomes the data. */
export const restore = defineCommand({
  meta: { name: 'restore', description: 'Make a backup the data in DATA_DIR; stop the server first' },
  args: {
    file: { type: 'positional', required: true, description: 'what backup has written' },
    replace: { type: 'boolean', description: 'erase the data that are there' },
  },
  async run({ args: { file, replace = false } }) {
    const { databaseUrl, dataDir } = parseConfig(readEnv(), readFile)
    if (databaseUrl !== undefined) throw new BackupError(backedUpByPostgres)
    await restoreBackup(file, dataDir, replace)
    process.stdout.write(`${file} is restored into ${dataDir}. Start the server.\n`)
  },
})
