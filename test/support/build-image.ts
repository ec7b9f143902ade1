import { execFileSync } from 'node:child_process'
import { chmodSync, copyFileSync, cpSync, mkdirSync, readFileSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { temporaryDir } from './start-server.ts'

const root = resolve(import.meta.dirname, '../..')

export interface Instruction {
  readonly name: string
  readonly words: string
}

/** The instructions of the Dockerfile, lines that go on made one. */
export function instructions(): readonly Instruction[] {
  const text = readFileSync(join(root, 'Dockerfile'), 'utf8')
  const lines = text
    .replace(/^#.*\n/gm, '')
    .replace(/\\\n\s*/g, '')
    .split('\n')
  return lines
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [, name = '', words = ''] = /^([A-Z]+) (.+)$/.exec(line) ?? []
      return { name, words }
    })
}

/** Whether `.dockerignore` lets a file of the project into the image; the last rule that fits decides. */
export function isInContext(path: string): boolean {
  const rules = readFileSync(join(root, '.dockerignore'), 'utf8').split('\n')
  let inside = true
  for (const rule of rules.filter((line) => line !== '' && !line.startsWith('#'))) {
    const pattern = rule
      .replace(/^!/, '')
      .replace(/[.+^$()[\]{}|?]/g, '\\$&')
      .replaceAll('*', '[^/]*')
    if (new RegExp(`^${pattern}(/|$)`).test(path)) inside = rule.startsWith('!')
  }
  return inside
}

/** An image as far as it can be made without Docker: its files in a folder, and how its process is started. */
export interface BuiltImage {
  /** The folder that stands for `/`. */
  readonly dir: string
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
  /** Who runs it: the image's user is played by `nobody`, or by whoever runs the test when that is not root. */
  readonly user: { readonly uid: number; readonly gid: number }
}

/**
 * Does the steps of the Dockerfile, each stage in a folder of its own. Of the base image there is only `node`: this one.
 * `env` stands in for some of what ENV says.
 */
export function buildImage(env: Readonly<Record<string, string>>): BuiltImage {
  const stages = new Map<string, string>()
  const mine = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }
  const user = mine.uid === 0 ? { uid: 65_534, gid: 65_534 } : mine
  let image: BuiltImage | undefined
  let runner = mine
  for (const { name, words } of instructions()) {
    if (name === 'FROM') {
      const dir = emptyImage()
      stages.set(/ AS (\w+)$/.exec(words)?.[1] ?? 'last', dir)
      image = { dir, cwd: dir, env: { PATH: `${join(dir, 'usr/local/bin')}:${process.env['PATH']}` }, user }
      continue
    }
    if (image === undefined) throw new Error(`${name} before FROM`)
    const { dir, cwd } = image
    const inside = (text: string) => text.replace(/(?<=^|[ =])\/(?=\w)/g, `${dir}/`)
    switch (name) {
      case 'WORKDIR':
        image = { ...image, cwd: inside(words) }
        mkdirSync(image.cwd, { recursive: true })
        break
      case 'ENV':
        for (const pair of words.split(' ')) {
          const [key = '', value = ''] = pair.split('=')
          image = { ...image, env: { ...image.env, [key]: env[key] ?? inside(value) } }
        }
        break
      case 'COPY':
        copy(words, stages, cwd)
        break
      case 'USER':
        runner = user
        break
      case 'RUN': {
        const script = inside(words).replaceAll(/\b1000:1000\b/g, `${user.uid}:${user.gid}`)
        const options = { cwd, env: { ...process.env, npm_config_prefer_offline: 'true', ...image.env } }
        execFileSync('sh', ['-ec', script], { ...options, ...runner, stdio: ['ignore', 'ignore', 'pipe'] })
        break
      }
      default: // VOLUME, EXPOSE, HEALTHCHECK, CMD make no files
    }
  }
  if (image === undefined) throw new Error('the Dockerfile has no FROM')
  return image
}

function emptyImage(): string {
  const dir = temporaryDir()
  chmodSync(dir, 0o755)
  mkdirSync(join(dir, 'usr/local/bin'), { recursive: true })
  copyFileSync(process.execPath, join(dir, 'usr/local/bin/node'))
  return dir
}

function copy(words: string, stages: ReadonlyMap<string, string>, cwd: string): void {
  const stage = /^--from=(\w+) /.exec(words)?.[1]
  const paths = words.split(' ').filter((word) => !word.startsWith('--'))
  const target = join(cwd, paths.at(-1) ?? '')
  for (const path of paths.slice(0, -1)) {
    const from = stage === undefined ? join(root, path) : join(stages.get(stage) ?? '', path)
    if (stage === undefined && !isInContext(path)) throw new Error(`.dockerignore leaves out ${path}`)
    const to = paths.at(-1)?.endsWith('/') ? join(target, path) : target
    const filter = (file: string) => stage !== undefined || isInContext(relative(root, file))
    cpSync(from, to, { recursive: true, verbatimSymlinks: true, filter })
  }
}
