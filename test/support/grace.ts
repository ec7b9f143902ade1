import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'

/** How many seconds a server may take to end after SIGTERM, as src/main.ts has them. */
export function secondsToEnd(): number {
  const source = readFileSync(resolve(import.meta.dirname, '../../src/main.ts'), 'utf8')
  const graces = /const grace = \{ (.+) \}/.exec(source)?.[1]?.match(/[\d_]+/g) ?? []
  if (graces.length !== 3) throw new Error('src/main.ts has three times of grace')
  return graces.reduce((sum, ms) => sum + Number(ms.replace('_', '')) / 1_000, 0)
}
