import { expect, it } from 'vitest'
import { type Pace, pacer } from '../../src/conversation/pacer.ts'
import { longestStall } from '../support/each-turn.ts'

/** What each of many steps takes, in milliseconds. */
const step = 3
/** For how long nobody else may wait: eight milliseconds, and the step in which they are over. */
const bearable = 9

/** Steps of work by a clock that only they move, and how many milliseconds of it are done. */
function steps() {
  let [now, done] = [0, 0]
  const pace = pacer(() => now)
  const work = () => {
    now += step
    done += step
  }
  return { pace, work, done: () => done }
}

const ways: Record<string, (pace: Pace, work: () => void) => Promise<unknown>> = {
  'one after the other': async (pace, work) => {
    for (let n = 0; n < 100; n++) {
      await pace()
      work()
    }
  },
  'all at once': (pace, work) => Promise.all(Array.from({ length: 100 }, () => pace().then(work))),
  'some that are asked whether they may': async (pace, work) => {
    for (let n = 0; n < 100; n++) {
      if (!pace.atOnce()) await pace()
      work()
    }
  },
}

it.each(Object.entries(ways))('others have their turn between a hundred steps: %s', async (_, run) => {
  const { pace, work, done } = steps()
  expect(await longestStall(() => run(pace, work), done)).toBeLessThanOrEqual(bearable)
  expect(done()).toBe(100 * step)
})

it('lets who waits go on in the order in which they came', async () => {
  const { pace, work } = steps()
  const order: number[] = []
  await Promise.all(
    Array.from({ length: 20 }, async (_, n) => {
      await pace()
      work()
      order.push(n)
    }),
  )
  expect(order).toEqual(Array.from({ length: 20 }, (_, n) => n))
})
