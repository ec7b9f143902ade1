import { type CommandDef, defineCommand, runCommand, showUsage } from 'citty'
import packageJson from '../../package.json' with { type: 'json' }
import { backup } from './backup.ts'
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
try {
  if (rawArgs.some((arg) => arg === '--help' || arg === '-h')) await showUsage(commandOf(daehwa, rawArgs))
  else await runCommand(daehwa, { rawArgs })
  process.exit(0)
} catch (error) {
  process.stderr.write(`daehwa: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
}

/** The command that the words name, as far as they name one. */
// biome-ignore lint/suspicious/noExplicitAny: every command has arguments of its own type, and citty knows no common one
function commandOf(command: CommandDef<any>, [name = '', ...rest]: readonly string[]): CommandDef<any> {
  // biome-ignore lint/suspicious/noExplicitAny: as above
  const named = (command.subCommands as Record<string, CommandDef<any>> | undefined)?.[name]
  return named === undefined ? command : commandOf(named, rest)
}
