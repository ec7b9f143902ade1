import { readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, totalmem } from 'node:os'
import { join } from 'node:path'

const page = join(import.meta.dirname, '../docs/scaling.md')

/** Markdown, by the names of the places in docs/scaling.md. */
export type Tables = Readonly<Record<string, string>>

/** When, and on what kind of machine. */
export interface ThisMachine {
  readonly date: string
  readonly machine: { readonly cores: number; readonly cpu: string; readonly memoryGb: number }
  readonly versions: { readonly node: string; readonly postgres: string }
}

export function thisMachine(postgres: string): ThisMachine {
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: {
      cores: availableParallelism(),
      cpu: cpus()[0]?.model.trim() ?? 'unknown',
      memoryGb: Math.round(totalmem() / 1e9),
    },
    versions: { node: process.versions.node, postgres },
  }
}

/** Keeps a result in bench/results, and its tables in docs/scaling.md. */
export function save<T extends object>(name: string, result: T, tables: (result: T) => Tables): void {
  const rounded = JSON.stringify(result, (_, value) => (typeof value === 'number' ? round(value) : value), 2)
  writeFileSync(join(import.meta.dirname, `results/${name}.json`), `${rounded}\n`)
  writeFileSync(page, withTables(readFileSync(page, 'utf8'), tables(JSON.parse(rounded) as T)))
}

/** A page with each table between its marks. @throws Error when a mark is not there */
export function withTables(text: string, tables: Tables): string {
  return Object.entries(tables).reduce((kept, [name, table]) => {
    const [begin, end] = [`<!-- measured: ${name} -->`, '<!-- end -->']
    const from = kept.indexOf(begin)
    const to = kept.indexOf(end, from)
    if (from < 0 || to < 0) throw new Error(`docs/scaling.md has no place for ${name}`)
    return `${kept.slice(0, from + begin.length)}\n${table}\n${kept.slice(to)}`
  }, text)
}

const round = (value: number): number => Number(value.toPrecision(5))
