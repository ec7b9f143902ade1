import { collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import type { Feed } from './conversation/ports.ts'
import type { Turns } from './conversation/turns.ts'

/**
 * What is measured of this instance; every metric is named here. Labels have few values, known beforehand: a name or an
 * id among them would make a series for each, and tell who talks.
 */
export function createMetrics(turns: Pick<Turns, 'counts'>, feed: Pick<Feed, 'alive'>): Registry {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      ...{ name, help, registers: [registry] },
      collect() {
        this.set(read())
      },
    })
  gauge('daehwa_turns_running', 'Turns that this instance is answering', () => turns.counts().running)
  gauge('daehwa_turns_waiting', 'Turns that wait here for their turn', () => turns.counts().waiting)
  gauge('daehwa_feed_alive', 'Whether Redis carries what instances tell: 1 or 0', () => Number(feed.alive))
  return registry
}
