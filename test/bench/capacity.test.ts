import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Machine, plan, poolSize, predict, type TurnCosts } from '../../bench/capacity.ts'

const costs: TurnCosts = {
  ...{ instanceCpu: 1, instanceThread: 0.8, postgresCpu: 0.5, loadCpu: 0.25 },
  ...{ roundTrips: 8, writes: 2, walBytes: 4_000, storedBytes: 2_000 },
}

const apart = (instances: number, cores: number, postgresCores: number): Machine[] => [
  { name: 'the instances', cores, instances },
  { name: 'Postgres', cores: postgresCores, postgres: true },
]

describe('predict', () => {
  it('one instance is one thread, however many cores there are', () => {
    const { turnsPerSecond, resource } = predict(costs, { machines: apart(1, 16, 16) })
    expect([turnsPerSecond, resource]).toEqual([1_250, 'threads'])
  })

  it('each instance adds as much as one, until the cores of Postgres are used up', () => {
    const limits = [1, 2, 3, 4].map((instances) => predict(costs, { machines: apart(instances, 8, 2) }))
    expect(limits.map(({ turnsPerSecond }) => turnsPerSecond)).toEqual([1_250, 2_500, 3_750, 4_000])
    expect(limits.map(({ resource }) => resource)).toEqual([
      ...['threads', 'threads', 'threads'],
      'cores of Postgres',
    ])
  })

  it('instances without cores of their own add nothing', () => {
    const { turnsPerSecond, resource } = predict(costs, { machines: apart(4, 2, 8) })
    expect([turnsPerSecond, resource]).toEqual([2_000, 'cores of the instances'])
  })

  it('what shares a machine shares its cores, and those that others use are gone', () => {
    const all = { name: 'all', instances: 2, postgres: true, load: true }
    expect(predict(costs, { machines: [{ ...all, cores: 3.5 }] }).turnsPerSecond).toBe(2_000)
    expect(predict(costs, { machines: [{ ...all, cores: 1.75 }] }).turnsPerSecond).toBe(1_000)
  })

  it('instances on machines of different sizes: the weakest is the limit, as the load is spread evenly', () => {
    const machines = [
      { name: 'large', cores: 8, instances: 1 },
      { name: 'small', cores: 0.5, instances: 1 },
      { name: 'Postgres', cores: 8, postgres: true },
    ]
    expect(predict(costs, { machines })).toMatchObject({
      turnsPerSecond: 1_000,
      resource: 'cores of small',
    })
  })

  it('a Postgres that is far away or slow to write uses up the connections', () => {
    const machines = apart(2, 8, 8)
    expect(predict(costs, { machines, roundTrip: 1 }).resource).toBe('connections')
    expect(predict(costs, { machines, roundTrip: 1 }).turnsPerSecond).toBeCloseTo(
      (2 * poolSize * 1_000) / 8.5,
    )
    expect(predict(costs, { machines, roundTrip: 0.1 }).resource).toBe('threads')
    expect(predict(costs, { machines, commitWait: 10 }).resource).toBe('connections')
  })

  it('a disk or a replica takes only so much of the log', () => {
    const { turnsPerSecond, resource } = predict(costs, {
      machines: apart(2, 8, 8),
      walBytesPerSecond: 4_000_000,
    })
    expect([turnsPerSecond, resource]).toEqual([1_000, 'log'])
  })

  it('names all limits, the lowest first', () => {
    const { limits } = predict(costs, { machines: apart(1, 2, 1), walBytesPerSecond: 1e9 })
    expect(limits.map(({ resource }) => resource)).toEqual([
      ...['threads', 'cores of the instances', 'cores of Postgres', 'connections', 'log'],
    ])
  })

  it('is not asked about a deployment without an instance', () => {
    expect(() => predict(costs, { machines: apart(0, 1, 1) })).toThrow(RangeError)
  })
})

describe('plan', () => {
  it('says what a load needs, with room for peaks', () => {
    expect(plan(costs, 1_000, 0.5)).toEqual({
      ...{ instances: 2, instanceCores: 2, postgresCores: 1, connections: 20 },
      ...{ walPerDay: 345_600_000_000, storedPerDay: 172_800_000_000 },
    })
  })

  it.each([1, 900, 12_345])('what it plans for %i turns a second carries them', (turns) => {
    const { instances, instanceCores, postgresCores } = plan(costs, turns, 0.6)
    const { turnsPerSecond } = predict(costs, { machines: apart(instances, instanceCores, postgresCores) })
    expect(turnsPerSecond).toBeGreaterThanOrEqual(turns / 0.6)
  })
})

it('an instance has as many connections as the model says', () => {
  const source = readFileSync(join(import.meta.dirname, '../../src/storage/postgres.ts'), 'utf8')
  expect(Number(/^const connections = (\d+)$/m.exec(source)?.[1])).toBe(poolSize)
})
