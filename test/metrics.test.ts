import { register } from 'prom-client'
import { expect, it } from 'vitest'
import { createMetrics } from '../src/metrics.ts'

it('gives every server metrics of its own, and registers nothing for all', async () => {
  for (const counts of [
    { running: 1, waiting: 2 },
    { running: 0, waiting: 0 },
  ]) {
    const page = await createMetrics({ counts: () => counts }, { alive: counts.running === 1 }).metrics()
    expect(page.match(/^daehwa_.+$/gm)).toEqual([
      `daehwa_turns_running ${counts.running}`,
      `daehwa_turns_waiting ${counts.waiting}`,
      `daehwa_feed_alive ${counts.running}`,
    ])
  }
  expect(register.getMetricsAsArray()).toEqual([])
})
