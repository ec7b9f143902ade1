import type { Figures } from './interleaved.ts'

type Ratios = Pick<Figures, 'throughputRatio' | 'cpuRatio'>

/** How much worse than before is no noise any more. */
const least = 0.6
const most = 1.6

/** A line for each ratio that is far from what it was. */
export function collapses(now: Ratios, before: Ratios): string[] {
  const throughput = now.throughputRatio / before.throughputRatio
  const cpu = now.cpuRatio / before.cpuRatio
  return [
    ...(throughput >= least ? [] : [`COLLAPSED: throughput is ${percent(throughput)} of what was saved`]),
    ...(cpu <= most ? [] : [`COLLAPSED: CPU is ${percent(cpu)} of what was saved`]),
  ]
}

const percent = (ratio: number): string => `${Math.round(ratio * 100)} %`
