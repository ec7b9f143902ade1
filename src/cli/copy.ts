import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { defineCommand } from 'citty'
import { CopyError, type CopyProgress, copyData } from '../storage/copy-data.ts'
import { type Database, OpenError } from '../storage/database.ts'
import { openDatabase } from '../storage/open-storage.ts'
import { progressTo } from './progress.ts'

/** `daehwa copy`: everything from one database into an empty one. */
export const copy = defineCommand({
  meta: { name: 'copy', description: 'Copy everything into another database; stop the server first' },
  args: {
    from: {
      type: 'string',
      required: true,
      description: 'sqlite:FOLDER or postgres://…',
      valueHint: 'sqlite:./data',
    },
    to: {
      type: 'string',
      required: true,
      description: 'an empty database, or one where a copy was interrupted',
    },
  },
  async run({ args }) {
    if (args.from === args.to) throw new CopyError('--from and --to are the same database')
    const from = await open('--from', args.from)
    try {
      const to = await open('--to', args.to)
      try {
        await copyAll(from, to)
      } finally {
        await to.close()
      }
    } finally {
      await from.close()
    }
  },
})

async function copyAll(from: Database, to: Database): Promise<void> {
  const show = progressTo(process.stderr)
  const progress = ({ step, table, done, total }: CopyProgress) => show(`${step} ${table}`, done, total)
  for (const { table, rows, digest } of await copyData(from, to, progress)) {
    process.stdout.write(`${table}: ${rows} rows, sha256 ${digest}\n`)
  }
  process.stdout.write(
    'Everything is copied, and both are equal. Start the server on the new one, and keep the old one until you are sure.\n',
  )
}

async function open(name: string, address: string): Promise<Database> {
  const options = { durability: 'full', now: Date.now() } as const
  if (/^postgres(ql)?:\/\//.test(address))
    return openDatabase({ ...options, url: address, dir: '', named: name })
  if (address.startsWith('sqlite:')) {
    const dir = address.slice('sqlite:'.length)
    if (name === '--from' && !existsSync(join(dir, 'daehwa.db')))
      throw new OpenError(`there is no data in ${dir}: name the folder that holds daehwa.db`)
    return openDatabase({ ...options, dir })
  }
  throw new OpenError(
    `${name} must begin with sqlite: and a folder, as in sqlite:./data, or with postgres://`,
  )
}
