import { spawnSync } from 'node:child_process'
import { TestRunner } from 'vitest'

/**
 * Ends the running test as skipped, and says why, when a program of the system is missing. In CI it fails
 * instead: there everything is installed.
 */
export function needsTool(name: string): void {
  if (spawnSync(name, ['--version'], { stdio: 'ignore' }).error === undefined) return
  const reason = `${name} is not installed: apt-get install ${name}`
  const test = TestRunner.getCurrentTest()
  if (process.env['CI'] !== undefined || test === undefined) throw new Error(reason)
  process.stderr.write(`skipped: ${test.name}: ${reason}\n`)
  test.context.skip(reason)
}
