import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { expect, it } from 'vitest'

const root = resolve(import.meta.dirname, '../..')
const read = (file: string): string => readFileSync(join(root, file), 'utf8')

/** Files that are part of the project: git's, and those that it would take. */
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { cwd: root })
  .toString()
  .trim()
  .split('\n')
  .filter((file) => existsSync(join(root, file)))

it('the map in CONTRIBUTING.md is the tree', () => {
  const map = /## The house\n\n```text\n([\s\S]*?)```/.exec(read('CONTRIBUTING.md'))?.[1] ?? ''
  const mapped = map
    .trim()
    .split('\n')
    .map((line) => line.split('/ ')[0]?.trim())
  const folders = new Set<string>()
  for (const file of files) {
    for (let dir = dirname(file); dir !== '.'; dir = dirname(dir)) folders.add(dir)
  }
  expect(mapped.toSorted()).toEqual([...folders].toSorted())
})

it('every promise has its test, and every test of a promise is in docs/promises.md', () => {
  const rows = [...read('docs/promises.md').matchAll(/^\| (\d+) \| .+ \| \[[^\]]+\]\(\.\.\/([^)]+)\) \|$/gm)]
  const promised = rows.map(([, number, file]) => `${number} ${file}`)
  const shown = files
    .filter((file) => file.endsWith('.test.ts') && file !== 'test/house/documents.test.ts')
    .flatMap((file) =>
      [...read(file).matchAll(/['"`]promises? ([\d, and]+):/g)].flatMap(([, numbers = '']) =>
        (numbers.match(/\d+/g) ?? []).map((number) => `${number} ${file}`),
      ),
    )
  expect(promised.length).toBeGreaterThan(5)
  expect([...new Set(shown)].toSorted()).toEqual(promised.toSorted())
})

it('every promise that SECURITY.md builds on is one', () => {
  const promised = new Set(
    [...read('docs/promises.md').matchAll(/^\| (\d+) \|/gm)].map(([, number]) => number),
  )
  const rows = [...read('SECURITY.md').matchAll(/^\| .+ \| .+ \| ([\d, ]+) \|$/gm)]
  expect(rows.length).toBeGreaterThan(5)
  const missing = rows.flatMap(([, numbers = '']) =>
    numbers.split(', ').filter((number) => !promised.has(number)),
  )
  expect(missing).toEqual([])
  for (const page of ['README.md', 'README.ko.md']) expect(read(page)).toContain('](SECURITY.md)')
})

it('every link between the documents leads somewhere', () => {
  const pages = files.filter((file) => file.endsWith('.md'))
  const broken = pages.flatMap((page) =>
    [...read(page).matchAll(/\]\((?!https?:)([^)#]+)\)/g)]
      .map(([, link = '']) => join(root, dirname(page), link))
      .filter((target) => !existsSync(target)),
  )
  expect(broken).toEqual([])
  expect(pages).toContain('README.ko.md')
})

it('no source file has over 200 lines', () => {
  const long = files.filter((file) => /^src\/.+\.ts$/.test(file) && read(file).split('\n').length > 200)
  expect(long).toEqual([])
})

it('every runtime dependency has its line in docs/decisions', () => {
  const { dependencies } = JSON.parse(read('package.json')) as { dependencies: Record<string, string> }
  const page = read('docs/decisions/0005-dependencies.md')
  for (const name of Object.keys(dependencies)) expect(page, basename(name)).toContain(`\`${name}\``)
})
