import { defineCommand } from 'citty'
import { parseConfig } from '../config/config.ts'
import { readEnv, readFile } from '../config/env.ts'
import { ConfigError } from '../config/values.ts'
import { newestVersion } from '../storage/migrations/migrate.ts'
import { openDatabase, placeOf } from '../storage/open-storage.ts'

/** `daehwa migrate`: brings the schema up to date, as every start does. */
export const migrate = defineCommand({
  meta: { name: 'migrate', description: 'Bring the schema of the database up to date, as every start does' },
  async run({ rawArgs }) {
    if (rawArgs.length > 0)
      throw new ConfigError(`migrate takes no ${rawArgs[0]}. DATABASE_URL or DATA_DIR say which database`)
    const { databaseUrl: url, dataDir: dir, durability } = parseConfig(readEnv(), readFile)
    const database = await openDatabase({ url, dir, durability, now: Date.now() })
    await database.close()
    process.stdout.write(
      `The schema of ${placeOf({ url, dir })} is at version ${newestVersion}, the newest.\n`,
    )
  },
})
