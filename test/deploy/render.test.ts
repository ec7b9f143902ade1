import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import packageJson from '../../package.json' with { type: 'json' }
import lockJson from '../../package-lock.json' with { type: 'json' }
import { parseConfig } from '../../src/config/config.ts'
import { clientOf } from '../support/client.ts'
import { secondsToEnd } from '../support/grace.ts'
import { startServer, temporaryDir } from '../support/start-server.ts'

const root = resolve(import.meta.dirname, '../..')
const read = (file: string): string => readFileSync(join(root, file), 'utf8')
const { services, ...others } = parse(read('render.yaml'))
const [service] = services

interface Variable {
  readonly key: string
  readonly value?: string
  readonly generateValue?: true
  readonly sync?: false
}

/** As Render makes one: 256 random bits in base64. */
const generated = randomBytes(32).toString('base64')

/** What the process finds in its environment: the file's values, a key that Render makes, one that it asks for, and PORT. */
const env: Readonly<Record<string, string>> = Object.fromEntries([
  ['PORT', '10000'],
  ...(service.envVars as Variable[]).map(({ key, value, generateValue }) => [
    key,
    value ?? (generateValue ? generated : 'sk-1'),
  ]),
])

describe('render.yaml', () => {
  it('has only fields that Render has, of its types', () => {
    // Render publishes its schema at its own site alone; these are the fields of its "Blueprint YAML Reference".
    expect(others).toEqual({})
    expect(services).toHaveLength(1)
    const { disk, envVars, ...rest } = service
    expect(rest).toEqual({
      type: 'web',
      name: 'daehwa',
      runtime: 'node',
      plan: 'starter', // a free one has no disk
      buildCommand: 'npm ci',
      startCommand: 'npm start',
      healthCheckPath: '/readyz',
      maxShutdownDelaySeconds: expect.any(Number),
    })
    expect(disk).toEqual({ name: 'data', mountPath: '/var/data', sizeGB: expect.any(Number) })
    const kinds = [{ value: expect.any(String) }, { generateValue: true }, { sync: false }]
    for (const { key, ...kind } of envVars as Variable[]) expect(kinds, key).toContainEqual(kind)
  })

  it('sets what the program knows, keeps the data on the disk, and runs the Node.js of the lock file', () => {
    const asked = new Set(['NODE_VERSION'])
    const config = parseConfig(new Proxy(env, { get: (all, name: string) => all[asked.add(name) && name] }))
    expect([...asked]).toEqual(expect.arrayContaining(Object.keys(env)))
    expect(config).toMatchObject({ host: '0.0.0.0', apiKey: generated, dataDir: service.disk.mountPath })
    expect(env['NODE_VERSION']).toBe(lockJson.packages['node_modules/node'].version)
    expect(packageJson.scripts).toHaveProperty('start')
    expect(service.maxShutdownDelaySeconds).toBeGreaterThan(secondsToEnd())
    expect(service.maxShutdownDelaySeconds).toBeLessThanOrEqual(300)
  })

  it('starts a server that is ready without a key, and takes the one that Render makes', async () => {
    const { HOST: _, NODE_VERSION: __, OPENAI_API_KEY: ___, PORT: ____, ...rest } = env
    const dataDir = temporaryDir()
    const { url } = await startServer({ dataDir, env: { ...rest, DATA_DIR: dataDir } })
    expect((await fetch(url + service.healthCheckPath)).status).toBe(200)
    expect((await clientOf(url).send('GET', '/models')).status).toBe(401)
    const mine = clientOf(url, { authorization: `Bearer ${generated}` })
    expect((await mine.query('민수', '안녕')).status).toBe(200)
  })

  it.each(['README.md', 'README.ko.md'])('says what the table in %s says', (page) => {
    const rows = new Map(
      [...read(page).matchAll(/^\| ([^|]+) \| (.+) \|$/gm)].map(([, name, value]) => [name, value]),
    )
    expect(rows.get('Build Command')).toBe(`\`${service.buildCommand}\``)
    expect(rows.get('Start Command')).toBe(`\`${service.startCommand}\``)
    expect(rows.get('Health Check Path')).toBe(`\`${service.healthCheckPath}\``)
    expect(rows.get('Disk, Mount Path')).toBe(`\`${service.disk.mountPath}\``)
    for (const { key, value } of service.envVars as Variable[])
      if (key !== 'NODE_VERSION') expect(rows.get('Environment')).toContain(`\`${key}=${value ?? ''}`)
  })
})
