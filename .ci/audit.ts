import { spawnSync } from 'node:child_process'

const severities = ['critical', 'high', 'moderate', 'low', 'info'] as const

interface Vulnerability {
  severity: string
  /** An advisory, or the name of the part whose advisory it is. */
  via: readonly (string | { title: string })[]
}

interface Report {
  vulnerabilities?: Readonly<Record<string, Vulnerability>>
  statusCode?: number
  error?: { code?: string }
}

/** Asks the registry what is known against the parts that run. That it was not asked is said, and fails nothing. */
const { stdout } = spawnSync('npm', ['audit', '--omit=dev', '--json'], { encoding: 'utf8' })
const report = parse(stdout)
if (report.vulnerabilities === undefined) {
  const why = report.statusCode ?? report.error?.code ?? 'no answer'
  process.stderr.write(`audit: NOT DONE: the registry gave no advisories (${why})\n`)
} else {
  const found = Object.entries(report.vulnerabilities)
  const counts = severities.map(
    (one) => `${found.filter(([, { severity }]) => severity === one).length} ${one}`,
  )
  process.stdout.write(`audit: known against the parts that run: ${counts.join(', ')}\n`)
  for (const [name, { severity, via }] of found) {
    const why = via.map((one) => (typeof one === 'string' ? `by ${one}` : one.title)).join('; ')
    process.stdout.write(`audit: ${severity}: ${name}: ${why}\n`)
  }
  if (found.some(([, { severity }]) => severity === 'critical' || severity === 'high')) process.exitCode = 1
}

function parse(text: string): Report {
  try {
    return JSON.parse(text) as Report
  } catch {
    return {}
  }
}
