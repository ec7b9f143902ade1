import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { startServer } from '../support/start-server.ts'
import { needsTool } from '../support/tools.ts'

const root = resolve(import.meta.dirname, '../..')
const read = (file: string): string => readFileSync(resolve(root, file), 'utf8')

/** The commands of a page with the answer that is printed below each. */
function examples(page: string): { command: string; answer: string }[] {
  const block = /```sh\n(curl [\s\S]*?)```\n\n```(?:json|text)\n([\s\S]*?)```/g
  return [...page.matchAll(block)].map(([, command = '', answer = '']) => ({
    command,
    answer: answer.trim(),
  }))
}

/** What differs from run to run, made equal: times, and ids by the order in which they first appear. */
function steady(texts: readonly string[]): string[] {
  const seen: string[] = []
  const nameOf = (id: string) => {
    if (!seen.includes(id)) seen.push(id)
    return `<id ${seen.indexOf(id)}>`
  }
  return texts.map((text) =>
    text
      .replace(/\b(resp|req|msg|cmp)_[0-9a-f]{32}\b/g, nameOf)
      .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g, '<time>'),
  )
}

describe.each([['README.md'], ['README.ko.md']])('%s', (file) => {
  it('prints the real answer of every curl line, on a fresh server', async () => {
    needsTool('curl')
    const page = read(file)
    const all = examples(page)
    expect(all).toHaveLength(page.match(/^curl /gm)?.length ?? 0)
    const { url } = await startServer()
    const answers = all.map(({ command }) => {
      const script = command.replaceAll('http://localhost:10000', url)
      return execFileSync('bash', ['-c', script], { encoding: 'utf8' }).trim()
    })
    expect(steady(answers)).toEqual(steady(all.map(({ answer }) => answer)))
    for (const route of ['/models', '/model?', '/model', '/query', '/history', '-X DELETE']) {
      const [path, mark] = route === '/model?' ? ['/model', 'client_name'] : [route, route]
      expect(
        all.some(({ command }) => command.includes(path) && command.includes(mark)),
        route,
      ).toBe(true)
    }
  })

  it('has a bot that works as printed', async () => {
    const code = /```js\n([\s\S]*?)```/.exec(read(file))?.[1] ?? ''
    const { url } = await startServer()
    const script = code.replace('http://localhost:10000', url)
    const run = (text: string) =>
      execFileSync(process.execPath, ['--input-type=module', '-e', text], { encoding: 'utf8' }).trim()
    const input = /input: '([^']+)'/.exec(code)?.[1] ?? ''
    expect(run(script)).toContain(`"${input}"`)
    expect(run(script.replace('client_name', 'name'))).toMatch(
      /^invalid_request: The body has no 'client_name'/,
    )
  })

  it('lists every setting, and none that is not there', () => {
    const names = (text: string) =>
      new Set(
        text.match(
          /\b(DAEHWA_[A-Z_]+|OPENAI_[A-Z_]+|OTEL_[A-Z_]+|DATA_DIR|DATABASE_URL|REDIS_URL|PORT|HOST)\b/g,
        ),
      )
    const known = names(
      ['config', 'edges', 'traces', 'upstreams'].map((source) => read(`src/config/${source}.ts`)).join('\n'),
    )
    expect([...names(read(file))].toSorted()).toEqual([...known].toSorted())
  })

  it('has the same tables and commands as the other', () => {
    const other = file === 'README.md' ? 'README.ko.md' : 'README.md'
    const shape = (text: string) => ({
      headings: text.match(/^#+ /gm),
      tables: text.match(/^\|/gm)?.length,
      fences: text.match(/^```\w*$/gm),
    })
    const { fences, ...rest } = shape(read(file))
    expect(rest).toEqual({ headings: shape(read(other)).headings, tables: shape(read(other)).tables })
    expect(fences?.length).toBeGreaterThan(10)
  })
})
