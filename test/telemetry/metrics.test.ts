import { register } from 'prom-client'
import { expect, it } from 'vitest'
import { createMetrics, showState } from '../../src/telemetry/metrics.ts'

it('gives every server metrics of its own, and registers nothing for all', async () => {
  for (const counts of [
    { running: 1, waiting: 2 },
    { running: 0, waiting: 0 },
  ]) {
    const metrics = createMetrics()
    showState(metrics, {
      turns: { counts: () => counts },
      feed: { alive: counts.running === 1 },
      upstreams: new Map([['a', { breaker: counts.running === 1 ? 'open' : 'closed' }]]),
    })
    const page = await metrics.registry.metrics()
    expect(page.match(/^daehwa_(turns_[rw]|feed|upstream_b).+$/gm)).toEqual([
      `daehwa_turns_running ${counts.running}`,
      `daehwa_turns_waiting ${counts.waiting}`,
      `daehwa_feed_alive ${counts.running}`,
      `daehwa_upstream_breaker{upstream="a"} ${counts.running * 2}`,
    ])
  }
  expect(register.getMetricsAsArray()).toEqual([])
})
