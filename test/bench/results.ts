import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ScalingResult } from '../../bench/measured.ts'
import type { PerformanceResult } from '../../bench/performance-result.ts'
import type { PartitionResult } from '../../bench/report-partitions.ts'
import type { ProfileResult } from '../../bench/report-profile.ts'

interface Results {
  readonly performance: PerformanceResult
  readonly scaling: ScalingResult
  readonly partitions: PartitionResult
  readonly profile: ProfileResult
}

export const read = (file: string): string => readFileSync(join(import.meta.dirname, '../..', file), 'utf8')

/** What is kept in bench/results. */
export const result = <Name extends keyof Results>(name: Name): Results[Name] =>
  JSON.parse(read(`bench/results/${name}.json`)) as Results[Name]
