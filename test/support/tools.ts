import { spawnSync } from 'node:child_process'
import { TestRunner } from 'vitest'

/**
 * Ends the running test as skipped, and says why, when a program of the system is missing, or `usable` says why it is
 * of no use. In CI it fails instead: there everything is installed.
 */
export function needsTool(name: string, usable: () => true | string = () => true): void {
  const installed = spawnSync(name, ['--version'], { stdio: 'ignore' }).error === undefined
  const answer = installed ? usable() : `${name} is not installed: apt-get install ${name}`
  if (answer === true) return
  const reason = answer
  const test = TestRunner.getCurrentTest()
  if (process.env['CI'] !== undefined || test === undefined) throw new Error(reason)
  process.stderr.write(`skipped: ${test.name}: ${reason}\n`)
  test.context.skip(reason)
}
