import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import packageJson from '../../package.json' with { type: 'json' }
import lock from '../../package-lock.json' with { type: 'json' }
import { type BuiltImage, buildImage, instructions, isInContext } from '../support/build-image.ts'
import { clientOf } from '../support/client.ts'
import { freePort } from '../support/free-port.ts'

const words = (name: string) => instructions().flatMap((step) => (step.name === name ? [step.words] : []))
const command = JSON.parse(words('CMD').join()) as string[]
const healthCheck = JSON.parse(
  words('HEALTHCHECK')
    .join()
    .replace(/^.* CMD /, ''),
) as string[]

/** Starts the image's command as its user, with its own environment and these settings. */
function start({ cwd, env, user }: BuiltImage, settings: Readonly<Record<string, string>>) {
  const [file = '', ...args] = command
  const child = spawn(file, args, {
    cwd,
    env: { ...env, ...settings },
    ...user,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
  const ended = once(child, 'close').then(([code]) => code as number | null)
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await ended
  })
  return { child, ended, output: () => output }
}

it('is built from its steps, runs as a user who owns nothing but the data, answers, and ends by SIGTERM with 0', async () => {
  const port = String(await freePort())
  const image = buildImage({ PORT: port })
  for (const [path, entry] of Object.entries(lock.packages)) {
    if (path !== '') expect(existsSync(join(image.cwd, path)), path).toBe(!('dev' in entry))
  }
  expect(existsSync(join(image.cwd, 'node_modules/node/bin/node'))).toBe(false) // the base image has it
  expect(readdirSync(image.cwd).toSorted()).toEqual(['LICENSE', 'bin', 'node_modules', 'package.json', 'src'])
  expect(readdirSync(join(image.dir, 'data'))).toEqual([])
  expect(readdirSync(join(image.cwd, 'node_modules/.cache/daehwa'))).not.toEqual([])

  const refused = start(image, {})
  expect(await refused.ended).toBe(1)
  expect(refused.output()).toMatch(/^daehwa: HOST=0\.0\.0\.0 .+ Set DAEHWA_API_KEY/)

  const server = start(image, { HOST: '127.0.0.1' })
  await expect.poll(server.output, { timeout: 15_000 }).toContain('ready')
  const client = clientOf(`http://127.0.0.1:${port}`)
  expect((await client.send('GET', '/healthz')).body).toEqual({ status: 'ok' })
  expect((await client.query('민수', '안녕')).body.response).toBe('[데모] "안녕"이라고 하셨습니다.')
  const check = () => spawnSync(healthCheck[0] ?? '', healthCheck.slice(1), { env: image.env }).status
  expect(check()).toBe(0)
  expect(statSync(join(image.dir, 'data/daehwa.db')).uid).toBe(image.user.uid)
  server.child.kill('SIGTERM')
  expect(await server.ended).toBe(0)
  expect(check()).toBe(1)
}, 180_000)

it('says what cannot be run here', () => {
  expect(words('FROM')).toEqual(['node:24-slim AS packages', 'node:24-slim'])
  expect(packageJson.dependencies.node).toMatch(/^\^24\./)
  expect(words('USER')).toEqual(['1000:1000']) // as numbers: Kubernetes cannot tell that a name is not root
  expect([words('VOLUME'), words('EXPOSE')]).toEqual([['/data'], ['10000']])
  expect(words('ENV')).toEqual(['HOST=0.0.0.0 PORT=10000 DATA_DIR=/data'])
})

it('starts Node with the options of npm start, and needs no install script but that of the node package', () => {
  expect(packageJson.scripts.start).toBe(`exec ${command.join(' ')} || ${command.join(' ')}`)
  const scripted = Object.entries(lock.packages).filter(
    ([, entry]) => 'hasInstallScript' in entry && !('dev' in entry),
  )
  expect(scripted.map(([path]) => path)).toEqual(['node_modules/node'])
})

it('takes nothing from the working folder but what it names', () => {
  const files = execFileSync('git', ['ls-files']).toString().trim().split('\n')
  const inside = new Set(files.filter(isInContext).map((file) => file.split('/')[0]))
  expect([...inside].toSorted()).toEqual([
    '.npmrc',
    'LICENSE',
    'bin',
    'package-lock.json',
    'package.json',
    'src',
  ])
  for (const file of ['.env', 'data/daehwa.db', 'node_modules/pg/package.json', '.git/config'])
    expect(isInContext(file), file).toBe(false)
})
