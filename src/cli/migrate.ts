import { defineCommand } from 'citty'
import { parseConfig } from '../config/config.ts'
import { readEnv, readFile } from '../config/env.ts'
import { newestVersion } from '../storage/migrations/migrate.ts'
import { openDatabase, placeOf } from '../storage/open-storage.ts'

/** `daehwa migrate`: brings the schema up to date, as every start does. */
export const migrate = defineCommand({
  meta: { name: 'migrate', description: 'Bring the schema of the database up to date, as every start does' },
  async run() {
    const { databaseUrl: url, dataDir: dir, durability } = parseConfig(readEnv(), readFile)
    const database = await openDatabase({ url, dir, durability, now: Date.now() })
    await database.close()
    process.stdout.write(
      `The schema of ${placeOf({ url, dir })} is at version ${newestVersion}, the newest.\n`,
    )
  },
})
