import { readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, totalmem } from 'node:os'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')

/** Markdown, by the names of the places in a page. */
export type Tables = Readonly<Record<string, string>>

/** By the pages that have them. */
export type Pages = Readonly<Record<string, Tables>>

/** When, and on what kind of machine. */
export interface ThisMachine {
  readonly date: string
  readonly machine: { readonly cores: number; readonly cpu: string; readonly memoryGb: number }
  /** Of what took part beside Daehwa. */
  readonly versions: Readonly<Record<string, string>>
}

export function thisMachine(versions: Readonly<Record<string, string>>): ThisMachine {
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: {
      cores: availableParallelism(),
      cpu: cpus()[0]?.model.trim() ?? 'unknown',
      memoryGb: Math.round(totalmem() / 1e9),
    },
    versions: { 'Node.js': process.versions.node, ...versions },
  }
}

/** Keeps a result in bench/results, and its tables in the pages. @returns it as it is kept, with rounded numbers */
export function save<T extends object>(name: string, result: T, pages: (result: T) => Pages): T {
  const rounded = JSON.stringify(result, (_, value) => (typeof value === 'number' ? round(value) : value), 2)
  writeFileSync(join(root, `bench/results/${name}.json`), `${rounded}\n`)
  const kept = JSON.parse(rounded) as T
  for (const [page, tables] of Object.entries(pages(kept)))
    writeFileSync(join(root, page), withTables(readFileSync(join(root, page), 'utf8'), tables))
  return kept
}

/** A page with each table between its marks. @throws Error when a mark is not there */
export function withTables(text: string, tables: Tables): string {
  return Object.entries(tables).reduce((kept, [name, table]) => {
    const [begin, end] = [`<!-- measured: ${name} -->`, '<!-- end -->']
    const from = kept.indexOf(begin)
    const to = kept.indexOf(end, from)
    if (from < 0 || to < 0) throw new Error(`the page has no place for ${name}`)
    return `${kept.slice(0, from + begin.length)}\n${table}\n${kept.slice(to)}`
  }, text)
}

const round = (value: number): number => Number(value.toPrecision(5))
