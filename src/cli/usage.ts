import { defineCommand } from 'citty'
import { asOperator } from './admin.ts'

interface Usage {
  readonly from: string
  readonly to: string
  readonly usage: readonly Readonly<Record<string, string | number | null>>[]
}

const columns = [
  ...['day', 'tenant', 'client_name', 'key', 'model', 'turns', 'estimated_turns'],
  ...['input_tokens', 'output_tokens', 'cost'],
]

/** `daehwa usage`: what was used, as a table. */
export const usage = defineCommand({
  meta: { name: 'usage', description: 'Show the tokens that were used, and what they cost' },
  args: {
    tenant: { type: 'string', description: 'only of this tenant' },
    client: { type: 'string', description: 'only of this client_name' },
    from: {
      type: 'string',
      description: 'the first day, in UTC (2026-01-31); without it the first of this month',
    },
    to: { type: 'string', description: 'the last day; without it today' },
    by: {
      type: 'string',
      description: 'some of day, tenant, client_name, key, model, with commas between',
      default: 'tenant',
    },
  },
  async run({ args: { tenant, client, from, to, by } }) {
    const wish = { tenant, client_name: client, from, to, by }
    const query = new URLSearchParams(
      Object.entries(wish).filter((pair): pair is [string, string] => pair[1] !== undefined),
    )
    const found = (await asOperator((ask) => ask('GET', `/admin/usage?${query}`))) as Usage
    process.stderr.write(`${found.from} to ${found.to}\n`)
    if (found.usage.length === 0) process.stdout.write('Nothing was used.\n')
    else
      process.stdout.write(
        tableOf(
          columns.filter((name) => found.usage.some((row) => name in row)),
          found.usage,
        ),
      )
  },
})

function tableOf(columns: readonly string[], rows: Usage['usage']): string {
  const lines = [columns, ...rows.map((row) => columns.map((column) => shown(row[column])))]
  const widths = columns.map((_, at) => Math.max(...lines.map((line) => line[at]?.length ?? 0)))
  return lines
    .map(
      (line) =>
        `${line
          .map((cell, at) => cell.padEnd(widths[at] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('')
}

const shown = (value: string | number | null | undefined): string =>
  value === undefined ? '' : value === null ? '-' : String(value)
