import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { describe, expect, it } from 'vitest'
import packageJson from '../../package.json' with { type: 'json' }
import lockJson from '../../package-lock.json' with { type: 'json' }
import { type Advisory, startRegistry } from '../support/start-registry.ts'
import { temporaryDir } from '../support/start-server.ts'

const root = resolve(import.meta.dirname, '../..')

interface Locked {
  readonly version: string
  readonly integrity?: string
  readonly resolved?: string
  readonly dev?: boolean
  readonly hasInstallScript?: boolean
}

const locked = Object.entries(lockJson.packages as Readonly<Record<string, Locked>>).filter(
  ([path]) => path !== '',
)
const nameOf = (path: string): string => path.split('node_modules/').at(-1) ?? ''
const runtime = locked.filter(([, { dev }]) => dev !== true)

/** A program in a folder, knowing nothing of who runs it; `npm` keeps what it remembers in that folder, too. */
async function run(cwd: string, command: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const [file = '', ...args] = command
  const quiet = { npm_config_update_notifier: 'false', npm_config_cache: join(cwd, '.npm-cache') }
  const child = spawn(file, args, {
    cwd,
    env: { PATH: process.env['PATH'] ?? '', HOME: cwd, ...quiet, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close') as Promise<[number | null]>,
  ])
  return { code, output: stdout + stderr }
}

/** The project as npm sees it, without anything installed. */
function copyOfProject(change: (manifest: Record<string, unknown>) => void = () => {}): string {
  const dir = temporaryDir()
  for (const file of ['package.json', 'package-lock.json', '.npmrc', '.ci'])
    cpSync(join(root, file), join(dir, file), { recursive: true })
  const manifest = JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8')) as Record<string, unknown>
  change(manifest)
  writeFileSync(join(dir, 'package.json'), JSON.stringify(manifest))
  return dir
}

describe('the lock file', () => {
  const dryRun = ['npm', 'ci', '--dry-run', '--offline']

  it('promise 40: is in step with package.json, or npm ci refuses it', async () => {
    expect((await run(copyOfProject(), dryRun)).code).toBe(0)
    const older = copyOfProject((manifest) => {
      manifest['dependencies'] = { ...packageJson.dependencies, fastify: '^4.0.0' }
    })
    const refused = await run(older, dryRun)
    expect(refused.code).toBe(1)
    expect(refused.output).toMatch(/in sync|ENOTCACHED.+\/fastify/s) // it would have to ask for another
    const { dependencies, devDependencies } = packageJson
    expect(lockJson.packages['']).toMatchObject({ dependencies, devDependencies })
  })

  it('promise 40: has the digest of every package, and names no registry', () => {
    expect(locked.length).toBeGreaterThan(100)
    for (const [path, { integrity, resolved }] of locked) {
      expect(integrity, path).toMatch(/^sha512-[\w+/]{86}==$/)
      expect(resolved, path).toBeUndefined() // npm asks whatever registry is set where it runs
    }
    expect(readFileSync(join(root, '.npmrc'), 'utf8')).not.toMatch(/registry *=|\/\//)
  })
})

describe('install scripts', () => {
  it('promise 40: are approved by name, each of them, and no other', () => {
    const scripted = locked
      .filter(([, entry]) => entry.hasInstallScript === true)
      .map(([path]) => nameOf(path))
    expect(Object.keys(packageJson.allowScripts).toSorted()).toEqual([...new Set(scripted)].toSorted())
    expect(new Set(Object.values(packageJson.allowScripts))).toEqual(new Set([true]))
  })

  it('promise 40: one that nobody approved stops the installation before it runs', async ({ skip }) => {
    const known = spawnSync('npm', ['config', 'get', 'strict-allow-scripts'], { cwd: root, encoding: 'utf8' })
    if (known.stdout.trim() !== 'true' || !knowsStrict()) {
      const reason = 'this npm does not know strict-allow-scripts: npm 11.19 does'
      process.stderr.write(`skipped: an install script that nobody approved: ${reason}\n`)
      skip(reason)
    }
    const dir = copyOfProject((manifest) => {
      manifest['dependencies'] = { stranger: 'file:stranger-1.0.0.tgz' }
      delete manifest['devDependencies']
    })
    const stranger = { name: 'stranger', version: '1.0.0', scripts: { postinstall: 'touch ../../ran' } }
    mkdirSync(join(dir, 'stranger'))
    writeFileSync(join(dir, 'stranger/package.json'), JSON.stringify(stranger))
    expect((await run(dir, ['npm', 'pack', './stranger'])).code).toBe(0)
    const install = ['npm', 'install', '--offline', '--no-package-lock']
    const { code, output } = await run(dir, install)
    expect(code).toBe(1)
    expect(output).toContain('stranger@1.0.0 (postinstall: touch ../../ran)')
    expect(existsSync(join(dir, 'ran'))).toBe(false)
    expect((await run(dir, [...install, '--dangerously-allow-all-scripts'])).code).toBe(0)
    expect(existsSync(join(dir, 'ran'))).toBe(true) // so it would have been run
  })
})

/** An npm that does not know a setting has no default for it. */
const knowsStrict = (): boolean =>
  spawnSync('npm', ['config', 'ls', '-l'], { encoding: 'utf8' }).stdout.includes(
    'strict-allow-scripts = false',
  )

describe('npm run sbom', () => {
  it('promise 40: lists every part that runs, with its digest and licence, and none that is for development', async () => {
    const dir = copyOfProject()
    const { code, output } = await run(dir, ['npm', 'run', '-s', 'sbom'])
    expect(output).toMatch(/^sbom: \d+ components in sbom\.cdx\.json$/m)
    expect(code).toBe(0)
    const written = readFileSync(join(dir, 'sbom.cdx.json'), 'utf8')
    const sbom = JSON.parse(written)
    expect(sbom).toMatchObject({ bomFormat: 'CycloneDX', metadata: { component: { name: 'daehwa' } } })
    const listed = sbom.components.map(
      (one: { name: string; version: string }) => `${one.name}@${one.version}`,
    )
    const all = runtime.map(([path, { version }]) => `${nameOf(path)}@${version}`)
    expect(listed.toSorted()).toEqual([...new Set(all)].toSorted())
    expect(listed.join(' ')).toContain(' pg@') // a test needs it, too
    for (const { name, hashes, licenses } of sbom.components) {
      expect(hashes[0], name).toMatchObject({ alg: 'SHA-512' })
      expect(licenses.length, name).toBeGreaterThan(0)
    }
    const refs = new Set([`daehwa@${packageJson.version}`, ...listed])
    for (const { ref, dependsOn } of sbom.dependencies)
      expect([ref, ...dependsOn].filter((one: string) => !refs.has(one))).toEqual([])
    expect(written).not.toContain(dir)
  })
})

describe('npm run audit', () => {
  const audit = async (advisories?: Readonly<Record<string, Advisory>>) => {
    const { url, asked } = await startRegistry(advisories)
    const settings = { npm_config_registry: url, npm_config_fetch_retries: '0', no_proxy: '127.0.0.1' }
    return { ...(await run(copyOfProject(), ['npm', 'run', '-s', 'audit'], settings)), asked }
  }

  it('promise 40: fails by what is known of high severity against a part that runs, and names it', async () => {
    for (const name of ['fastify', 'pg', 'json-schema-traverse']) {
      const { code, output } = await audit({ [name]: { severity: 'high', title: 'It burns' } })
      expect(output).toContain(`audit: high: ${name}: It burns`)
      expect(code).toBe(1)
    }
  })

  it('promise 40: tells of less, and passes; what only tests need is not asked about', async () => {
    const title = 'It smells'
    const { code, output, asked } = await audit({
      fastify: { severity: 'moderate', title },
      vitest: { severity: 'critical', title },
    })
    expect(output).toContain('0 critical, 0 high, 1 moderate')
    expect(output).toContain('audit: moderate: fastify: It smells')
    expect(code).toBe(0)
    expect([...asked].toSorted()).toEqual([...new Set(runtime.map(([path]) => nameOf(path)))].toSorted())
  })

  it('promise 40: says so where the registry has no advisories, or is not there', async () => {
    const unable = /^audit: NOT DONE: the registry gave no advisories \(.+\)$/m
    const none = await audit()
    expect(none.output).toMatch(unable)
    expect(none.output).toContain('(404)')
    expect(none.code).toBe(0)
    const settings = { npm_config_registry: 'http://127.0.0.1:9/', npm_config_fetch_retries: '0' }
    const away = await run(copyOfProject(), ['npm', 'run', '-s', 'audit'], settings)
    expect(away.output).toMatch(unable)
    expect(away.code).toBe(0)
  })
})
