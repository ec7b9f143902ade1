import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, it } from 'vitest'
import { clientOf } from '../support/client.ts'
import { runCommand } from '../support/run-command.ts'
import { startServer, temporaryDir } from '../support/start-server.ts'

it.each([
  [
    ['keys', 'create', '--tenant', 'acme', '--exp', '30d'],
    /^daehwa: daehwa keys create has no option --exp\. It has --tenant, --client, --expires, .+: daehwa keys create --help explains them\n$/,
  ],
  [['keys', 'create', '--tenant', 'acme', '--client-name=kiosk'], /has no option --client-name\./],
  [['keys', 'create', '--tenant'], /^daehwa: --tenant needs a value behind it\n$/],
  [['keys', 'limit', 'key_1', '--tokns', '3'], /has no option --tokns\./],
  [['export', '--tenat', 'acme'], /has no option --tenat\. It has --tenant, --client: /],
  [['usage', 'csv'], /^daehwa: daehwa usage does not know what 'csv' is for\./],
  [['usage', '-v'], /has no option -v\./],
  [
    ['migrate', '--now'],
    /has no option --now\. It has no options: the settings say which data it is about\n$/,
  ],
])('a command that has a word too many does nothing: %j', async (args, sentence) => {
  const dir = temporaryDir()
  const { code, out, err } = await runCommand(args, { DATA_DIR: dir })
  expect([code, out]).toEqual([1, ''])
  expect(err).toMatch(sentence)
  expect(existsSync(join(dir, 'daehwa.db'))).toBe(false)
})

it.each([['keys', 'list'], ['keys', 'create', '--tenant', 'acme'], ['usage'], ['export']])(
  'without a server and without data nothing is made: %s %s',
  async (...args) => {
    const dir = temporaryDir()
    const { code, out, err } = await runCommand(args, { DATA_DIR: dir })
    expect([code, out]).toEqual([1, ''])
    expect(err).toBe(
      `daehwa: no Daehwa answers at http://127.0.0.1:1, and there is no data in ${dir}. Start it, or set PORT or DAEHWA_URL to where it is, or DATA_DIR to its data (daehwa migrate makes a new one)\n`,
    )
    expect(existsSync(join(dir, 'daehwa.db'))).toBe(false)
  },
)

it('a command says which data it is about, and that a server has it which it does not reach', async () => {
  const server = await startServer()
  expect((await clientOf(server.url).query('민수', 'hi')).status).toBe(200)
  const missed = await runCommand(['keys', 'list'], { DATA_DIR: server.dataDir })
  expect(missed).toMatchObject({ code: 1, out: '' })
  expect(missed.err).toContain(
    `daehwa: a server uses the data in ${server.dataDir}, and none answers at http://127.0.0.1:1. Set PORT or DAEHWA_URL to where it is\n`,
  )
  expect(await server.end('SIGTERM')).toBe(0)
  expect(await runCommand(['keys', 'list'], { DATA_DIR: server.dataDir })).toEqual({
    ...{ code: 0, out: 'There are no keys.\n' },
    err: `No Daehwa answers at http://127.0.0.1:1: this is about the data in ${server.dataDir}\n`,
  })
})

it.each(['5', '1w', '2030-01-01'])('--expires %s is no time, and both forms are named', async (time) => {
  const args = ['keys', 'create', '--tenant', 'acme', '--expires', time]
  const { code, err } = await runCommand(args, { DATA_DIR: temporaryDir() })
  expect([code, err]).toEqual([
    1,
    'daehwa: --expires must be so many hours or days (12h, 90d), or a time (2030-01-31T12:00:00Z)\n',
  ])
})

it('ends without a word when nobody reads what it says any more', async () => {
  const dir = temporaryDir()
  await runCommand(['migrate'], { DATA_DIR: dir })
  const launcher = resolve(import.meta.dirname, '../../bin/daehwa.js')
  const line = `"${process.execPath}" "${launcher}" usage | true; echo "\${PIPESTATUS[0]}"`
  const env = { PATH: process.env['PATH'] ?? '', PORT: '1', DATA_DIR: dir }
  const { stdout, stderr } = spawnSync('bash', ['-c', line], { env, cwd: dir, encoding: 'utf8' })
  expect(['0', '1']).toContain(stdout.trim())
  expect(stderr).not.toContain('EPIPE')
})

it('says --help and --version of itself', async () => {
  const { code, out, err } = await runCommand(['keys', 'create', '--help'], {})
  expect(code).toBe(0)
  expect(out + err).toContain('--tenant')
  expect((await runCommand(['--version'], {})).out).toMatch(/^\d+\.\d+\.\d+\n$/)
})
