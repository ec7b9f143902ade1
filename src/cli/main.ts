import { defineCommand, runCommand, showUsage } from 'citty'
import packageJson from '../../package.json' with { type: 'json' }
import { copy } from './copy.ts'
import { migrate } from './migrate.ts'

const subCommands = { copy, migrate }
const daehwa = defineCommand({
  meta: { name: 'daehwa', version: packageJson.version, description: packageJson.description },
  subCommands,
})

const rawArgs = process.argv.slice(2)
try {
  if (!rawArgs.some((arg) => arg === '--help' || arg === '-h')) await runCommand(daehwa, { rawArgs })
  else if (rawArgs[0] === 'copy') await showUsage(copy)
  else await showUsage(daehwa)
  process.exit(0)
} catch (error) {
  process.stderr.write(`daehwa: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
}
