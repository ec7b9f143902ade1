import { setTimeout as wait } from 'node:timers/promises'
import { expect, it, onTestFinished } from 'vitest'
import type { InstanceStore, TakenTurn } from '../../src/conversation/instance-store.ts'
import { Membership } from '../../src/conversation/membership.ts'

const lease = 1_000

/** A membership over a store that does as it is told, and all that was done, in order. */
function over(more: Partial<InstanceStore> = {}, shared = true, itsLease = lease) {
  const done: string[] = []
  const store: InstanceStore = {
    join: async (id) => void done.push(`join ${id}`),
    renew: async (id) => done.push(`renew ${id}`) > 0,
    leave: async (id) => void done.push(`leave ${id}`),
    takeOver: async () => {
      done.push('take over')
      return []
    },
    unended: async () => [],
    disown: async () => {},
    markFollowed: async () => {},
    keepProgress: async () => {},
    ...more,
  }
  const log = { info() {}, warn() {}, error() {} }
  const clock = () => performance.now()
  const membership = new Membership({ store, shared, lease: itsLease, now: Date.now, clock, log })
  const duties = {
    draining: false,
    resume: () => void done.push('resume'),
    lose: () => void done.push('lose'),
    watch: async () => void done.push('watch'),
  }
  onTestFinished(() => membership.stop())
  return {
    membership,
    duties,
    done,
    count: (what: string) => done.filter((one) => one.startsWith(what)).length,
  }
}

it('joins and takes over at its start, renews every third of its lease, looks every sixth, and leaves', async () => {
  const { membership, duties, done, count } = over()
  expect(() => membership.id).toThrow('The storage')
  await membership.start(duties)
  const { id } = membership
  expect(done).toEqual([`join ${id}`, 'take over'])
  await wait(3 * lease)
  expect(count('renew')).toBeGreaterThan(4)
  expect(count('renew')).toBeLessThan(11)
  expect(count('take over')).toBeGreaterThan(9)
  expect([count('lose'), membership.id]).toEqual([0, id])
  duties.draining = true
  const before = count('take over')
  await wait(lease / 2)
  expect(count('take over')).toBeLessThan(before + 2)
  await membership.stop()
  expect(done.at(-1)).toBe(`leave ${id}`)
  expect(() => membership.id).toThrow('The storage')
})

it('stops what it runs before its lease is over when nothing confirms it, and joins again as another', async () => {
  let reachable = true
  const { membership, duties, done, count } = over({
    renew: () => new Promise((resolve) => reachable && resolve(true)),
    join: async () => {
      if (!reachable) throw new Error('not there')
      done.push('join')
    },
  })
  await membership.start(duties)
  const { id } = membership
  await wait(lease)
  reachable = false
  const begin = performance.now()
  await expect.poll(() => count('lose'), { interval: 10, timeout: lease }).toBe(1)
  expect(performance.now() - begin).toBeLessThan(lease)
  expect(() => membership.id).toThrow('The storage')
  reachable = true
  await expect.poll(() => count('join'), { interval: 10 }).toBe(2)
  expect(membership.id).not.toBe(id)
  expect(done).toContain(`leave ${id}`)
})

it('knows that others have taken over when its renewal finds nothing', async () => {
  let mine = true
  const { membership, duties, count } = over({ renew: async () => mine })
  await membership.start(duties)
  const { id } = membership
  mine = false
  await expect.poll(() => count('lose'), { interval: 10, timeout: lease }).toBe(1)
  mine = true
  await expect.poll(() => count('join'), { interval: 10 }).toBe(2)
  expect(membership.id).not.toBe(id)
  await wait(lease)
  expect(count('lose')).toBe(1)
})

it('looks at its turns four times a second, however long its lease is', async () => {
  const { membership, duties, count } = over({}, true, 30_000)
  await membership.start(duties)
  await wait(1_500)
  expect(count('watch')).toBeGreaterThan(3)
  expect(count('watch')).toBeLessThan(8)
})

it('does not run what it took over before it was taken for dead itself', async () => {
  const slow = Promise.withResolvers<TakenTurn[]>()
  let looks = 0
  const { membership, duties, count } = over({
    renew: async () => false,
    takeOver: () => (looks++ === 0 ? Promise.resolve([]) : slow.promise),
  })
  await membership.start(duties)
  await expect.poll(() => count('lose'), { interval: 10 }).toBe(1)
  const place = { id: 'resp_1', owner: 'a', key: { tenant: 't', client: 'c' }, place: 'turn_1' }
  slow.resolve([{ ...place, input: { json: '', tokens: 0, counted: true }, model: 'm', settings: {}, at: 1 }])
  await wait(10)
  expect(count('resume')).toBe(0)
})

it('has nothing to do beside its start where it is alone', async () => {
  const { membership, duties, done } = over({}, false)
  await membership.start(duties)
  await wait(lease)
  expect(done).toEqual([`join ${membership.id}`, 'take over'])
})
