import { expect, it } from 'vitest'
import { startServer } from '../support/start-server.ts'

it('ends also when nobody reads its log any more', async () => {
  const server = await startServer()
  server.process.stdout?.destroy()
  const begin = performance.now()
  const code = await new Promise((resolve) => {
    server.process.once('exit', resolve)
    server.process.kill('SIGTERM')
  })
  expect(code).toBe(0)
  expect(performance.now() - begin).toBeLessThan(5_000)
}, 15_000)
