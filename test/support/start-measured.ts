import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { type RunningServer, startServer, temporaryDir } from './start-server.ts'

/** Starts a server that tells what it holds on to: what is left in memory after a collection, in bytes. */
export async function startMeasured(
  env: Record<string, string>,
): Promise<RunningServer & { held(): Promise<number> }> {
  const dir = temporaryDir()
  const file = join(dir, 'held')
  const preload = join(dir, 'measure.mjs')
  const measure = `const { heapUsed, external } = process.memoryUsage(); fs.writeFileSync('${file}', String(heapUsed + external))`
  writeFileSync(preload, `import fs from 'node:fs'; process.on('SIGUSR2', () => { gc(); gc(); ${measure} })`)
  const server = await startServer({
    env: { ...env, NODE_OPTIONS: `--expose-gc --import file://${preload}` },
  })
  return {
    ...server,
    async held() {
      rmSync(file, { force: true })
      server.process.kill('SIGUSR2')
      while (!existsSync(file) || readFileSync(file, 'utf8') === '') await wait(20)
      return Number(readFileSync(file, 'utf8'))
    },
  }
}
