/** Whether the long tests run in full (`npm run test:faults`, `npm run test:cluster`) or shortened (`npm test`). */
const full = process.env['DAEHWA_TEST_LENGTH'] === 'full'

/** How much of a long test is done now; it says so. */
export function length<T>(what: string, lengths: { full: T; short: T }): T {
  const chosen = full ? lengths.full : lengths.short
  process.stderr.write(
    `${what}: ${chosen}${full ? '' : ` (in full, with DAEHWA_TEST_LENGTH=full: ${lengths.full})`}\n`,
  )
  return chosen
}
