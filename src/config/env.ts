import { existsSync, readFileSync } from 'node:fs'
import { ConfigError, type Env } from './values.ts'

/** The environment and, where there is one, the `.env` file beside it; the environment wins. */
export function readEnv(file = '.env'): Env {
  if (existsSync(file)) process.loadEnvFile(file)
  return process.env
}

/** The content of a file; undefined where there is none. @throws ConfigError for one that cannot be read */
export function readFile(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'ENOENT') return undefined
    throw new ConfigError(`${path} cannot be read (${code ?? 'of an unknown reason'})`)
  }
}
