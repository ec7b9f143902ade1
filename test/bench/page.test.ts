import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import type { ScalingResult } from '../../bench/measured.ts'
import { scalingTables } from '../../bench/report.ts'
import { type PartitionResult, partitionTablesShown } from '../../bench/report-partitions.ts'
import { withTables } from '../../bench/results.ts'

const root = join(import.meta.dirname, '../..')
const read = (file: string): string => readFileSync(join(root, file), 'utf8')
const result = <T>(name: string): T => JSON.parse(read(`bench/results/${name}.json`)) as T

it('the figures in docs/scaling.md are those in bench/results', () => {
  const page = read('docs/scaling.md')
  const tables = {
    ...scalingTables(result<ScalingResult>('scaling')),
    ...partitionTablesShown(result<PartitionResult>('partitions')),
  }
  expect(withTables(page, tables)).toBe(page)
})

it('results say when and on what they were measured, and name no machine', () => {
  for (const name of ['scaling', 'partitions']) {
    const { date, machine, versions } = result<ScalingResult>(name)
    expect(date).toMatch(/^\d{4}-\d\d-\d\d$/)
    expect(Object.keys(machine)).toEqual(['cores', 'cpu', 'memoryGb'])
    expect(Object.keys(versions)).toEqual(['Node.js', 'Postgres'])
  }
})

it('the check that was printed is kept with its tolerance, and was passed', () => {
  expect(result<ScalingResult>('scaling').check).toEqual({ tolerance: 0.25, passed: true })
})
