import { expect, it } from 'vitest'
import { plot } from '../../bench/plot.ts'
import { scalingTables } from '../../bench/report.ts'
import { partitionTablesShown } from '../../bench/report-partitions.ts'
import { performancePages } from '../../bench/report-performance.ts'
import { profilePages } from '../../bench/report-profile.ts'
import { withTables } from '../../bench/results.ts'
import { read, result } from './results.ts'

it('the figures in docs/scaling.md are those in bench/results', () => {
  const page = read('docs/scaling.md')
  const tables = { ...scalingTables(result('scaling')), ...partitionTablesShown(result('partitions')) }
  expect(withTables(page, tables)).toBe(page)
})

it('the figures in docs/performance.md, in the READMEs and in the plot are those in bench/results', () => {
  const measured = result('performance')
  const pages = Object.entries(performancePages(measured))
  expect(pages.map(([page]) => page)).toEqual(['docs/performance.md', 'README.md', 'README.ko.md'])
  for (const [page, tables] of pages) expect(withTables(read(page), tables), page).toBe(read(page))
  expect(read('docs/performance.svg')).toBe(plot(measured))
  for (const [page, tables] of Object.entries(profilePages(result('profile'))))
    expect(withTables(read(page), tables), page).toBe(read(page))
})

it('results say when and on what they were measured, and name no machine', () => {
  const postgres = ['Node.js', 'Postgres']
  const rivals = ['Node.js', '@portkey-ai/gateway', 'express', 'openai']
  for (const [name, versionsOf] of [
    ['scaling', postgres],
    ['partitions', postgres],
    ['performance', rivals],
    ['profile', ['Node.js']],
  ] as const) {
    const { date, machine, versions } = result(name)
    expect(date).toMatch(/^\d{4}-\d\d-\d\d$/)
    expect(Object.keys(machine)).toEqual(['cores', 'cpu', 'memoryGb'])
    expect(Object.keys(versions)).toEqual(versionsOf)
  }
})

it('the check that was printed is kept with its tolerance, and was passed', () => {
  expect(result('scaling').check).toEqual({ tolerance: 0.25, passed: true })
})

it('the lock file of what Daehwa is compared with has the digest of every package, and names no registry', () => {
  const lock = read('bench/rivals/package-lock.json')
  const { '': manifest, ...packages } = JSON.parse(lock).packages as Record<string, Record<string, unknown>>
  const { dependencies } = JSON.parse(read('bench/rivals/package.json'))
  expect(manifest?.['dependencies']).toEqual(dependencies)
  for (const version of Object.values(dependencies)) expect(version).toMatch(/^\d+\.\d+\.\d+$/)
  for (const [path, { integrity, resolved }] of Object.entries(packages)) {
    expect(integrity, path).toMatch(/^sha512-/)
    expect(resolved, path).toBeUndefined()
  }
})
