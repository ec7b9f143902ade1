import { defineCommand, runCommand, showUsage } from 'citty'
import packageJson from '../../package.json' with { type: 'json' }
import { backup } from './backup.ts'
import { checkArgs, commandOf } from './check-args.ts'
import { copy } from './copy.ts'
import { exportClients } from './export.ts'
import { importClients } from './import.ts'
import { keys } from './keys.ts'
import { migrate } from './migrate.ts'
import { restore } from './restore.ts'
import { usage } from './usage.ts'

const subCommands = {
  backup,
  copy,
  export: exportClients,
  import: importClients,
  keys,
  migrate,
  restore,
  usage,
}
const daehwa = defineCommand({
  meta: { name: 'daehwa', version: packageJson.version, description: packageJson.description },
  subCommands,
})

const rawArgs = process.argv.slice(2)
process.stdout.on('error', () => process.exit(1)) // whoever read it has gone, as head does
process.on('uncaughtException', fail) // a disk that fails does so where nobody waits for it
try {
  if (rawArgs.some((arg) => arg === '--help' || arg === '-h'))
    await showUsage(commandOf(daehwa, rawArgs).command)
  else if (rawArgs[0] === '--version') process.stdout.write(`${packageJson.version}\n`)
  else {
    checkArgs(daehwa, rawArgs)
    await runCommand(daehwa, { rawArgs })
  }
  await leave(0)
} catch (error) {
  await fail(error)
}

async function fail(error: unknown): Promise<never> {
  process.stderr.write(`daehwa: ${error instanceof Error ? error.message : String(error)}\n`)
  return leave(1)
}

/** Ends the process when all that it has said is with whoever reads it: a pipe may still hold some back. */
async function leave(code: number): Promise<never> {
  for (const stream of [process.stdout, process.stderr])
    await new Promise<void>((resolve) => stream.write('', () => resolve()))
  process.exit(code)
}
