import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { expect, it } from 'vitest'
import { temporaryDir } from '../support/start-server.ts'

const root = resolve(import.meta.dirname, '../..')

/** What the linter says of a copy of the project to which one file was added. */
function lintWith(path: string, line: string): { status: number | null; output: string } {
  const dir = temporaryDir()
  for (const entry of ['src', 'biome.json', 'package.json', '.gitignore']) {
    cpSync(join(root, entry), join(dir, entry), { recursive: true })
  }
  symlinkSync(join(root, 'node_modules'), join(dir, 'node_modules'))
  mkdirSync(dirname(join(dir, path)), { recursive: true })
  writeFileSync(join(dir, path), `${line}\n`)
  const biome = join(root, 'node_modules/.bin/biome')
  const { status, stdout, stderr } = spawnSync(
    biome,
    ['check', '--vcs-enabled=false', '--error-on-warnings', 'src'],
    {
      cwd: dir,
      encoding: 'utf8',
    },
  )
  return { status, output: stdout + stderr }
}

const message = {
  domain: 'it imports nothing of the other rooms',
  packages: 'no packages, and of Node only node:crypto',
  beside: 'imports conversation/ and nothing else of the house',
}

it('the linter is content with a file that keeps to its room', () => {
  const line = "import { newId } from './ids.ts'\n\nexport const probe = newId('msg', 0)"
  expect(lintWith('src/conversation/probe.ts', line)).toMatchObject({ status: 0 })
})

it.each([
  ['conversation', "export { handleError as x } from '../http/error-handler.ts'", message.domain],
  ['conversation', "export type { App } from '../http/app-type.ts'", message.domain],
  ['conversation', "export { sqlStore as x } from '../storage/sql-store.ts'", message.domain],
  ['conversation', "export { readEnv as x } from '../config/env.ts'", message.domain],
  ['conversation', "export { default as x } from 'fastify'", message.packages],
  ['conversation', "export { DatabaseSync as x } from 'node:sqlite'", message.packages],
  ['conversation', "export { createServer as x } from 'node:http'", message.packages],
  ['http', "export { sqlStore as x } from '../storage/sql-store.ts'", message.beside],
  ['http/routes', "export { readEnv as x } from '../../config/env.ts'", message.beside],
  ['http', "export { OpenAiUpstream as x } from '../upstream/openai-upstream.ts'", message.beside],
  ['http', "export { createMetrics as x } from '../telemetry/metrics.ts'", message.beside],
  ['storage', "export { handleError as x } from '../http/error-handler.ts'", message.beside],
  ['storage/migrations', "export { handleError as x } from '../../http/error-handler.ts'", message.beside],
  ['upstream', "export { sqlStore as x } from '../storage/sql-store.ts'", message.beside],
  ['feed', "export { sqlStore as x } from '../storage/sql-store.ts'", message.beside],
  ['rates', "export { RedisFeed as x } from '../feed/redis.ts'", message.beside],
  ['telemetry', "export { sqlStore as x } from '../storage/sql-store.ts'", message.beside],
  ['config', "export { newId as x } from '../conversation/ids.ts'", 'config/ imports no other room'],
  ['http', "export const x = process.env['PATH']", 'process.env'],
])('%s/ with the line %s fails the build', (room, line, sentence) => {
  const { status, output } = lintWith(`src/${room}/probe.ts`, line)
  expect(status).toBe(1)
  expect(output).toContain(sentence)
})
