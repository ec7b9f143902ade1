import { existsSync } from 'node:fs'

/** The environment and, where there is one, the `.env` file beside it; the environment wins. */
export function readEnv(file = '.env'): Readonly<Record<string, string | undefined>> {
  if (existsSync(file)) process.loadEnvFile(file)
  return process.env
}
