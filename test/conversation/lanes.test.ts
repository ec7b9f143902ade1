import { setTimeout as wait } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { Lanes } from '../../src/conversation/lanes.ts'

it('lets one in at a time, in the order they came', async () => {
  const lanes = new Lanes()
  const order: number[] = []
  let inside = 0
  const visits = Array.from({ length: 20 }, async (_, n) => {
    const place = lanes.enter('a', 64)
    await place.ready
    expect(++inside).toBe(1)
    await wait(Math.random() * 3)
    order.push(n)
    inside--
    place.leave()
  })
  await Promise.all(visits)
  expect(order).toEqual([...order].sort((a, b) => a - b))
  expect(lanes.size).toBe(0)
})

it('lets one who ranks before them pass those who wait, and those without a rank come last', async () => {
  const lanes = new Lanes()
  const [first, unranked, second, next] = Array.from({ length: 4 }, () => lanes.enter('a', 64))
  second?.rank('b')
  next?.rank('a')
  first?.leave()
  await next?.ready
  expect([unranked, second, next].map((place) => place?.inside)).toEqual([false, false, true])
  next?.leave()
  expect(second?.inside).toBe(true)
  second?.leave()
  expect(unranked?.inside).toBe(true)
})

it('lets whoever is inside step aside for one who ranks before them, and come back', async () => {
  const lanes = new Lanes()
  const [later, earlier, last] = Array.from({ length: 3 }, () => lanes.enter('a', 64))
  later?.rank('b')
  last?.rank('c')
  later?.stepAside()
  expect(later?.inside).toBe(true)
  earlier?.rank('a')
  later?.stepAside()
  await earlier?.ready
  expect([later, earlier].map((place) => place?.inside)).toEqual([false, true])
  earlier?.leave()
  await later?.ready
  expect([later, last].map((place) => place?.inside)).toEqual([true, false])
})

it('lets each rank when all before it have, or have left', async () => {
  const lanes = new Lanes()
  const places = Array.from({ length: 3 }, () => lanes.enter('a', 64))
  const may: number[] = []
  for (const [n, place] of places.entries()) void place.mayRank.then(() => may.push(n))
  await wait(5)
  expect(may).toEqual([0])
  places[1]?.rank('b')
  await wait(5)
  expect(may).toEqual([0])
  places[0]?.leave()
  await wait(5)
  expect(may).toEqual([0, 1, 2])
})

it('keeps other lanes free', async () => {
  const lanes = new Lanes()
  lanes.enter('a', 64)
  expect(lanes.enter('b', 64).inside).toBe(true)
})

it('refuses whoever comes when the lane is full, and takes the next when it is not', async () => {
  const lanes = new Lanes()
  const places = [lanes.enter('a', 2), lanes.enter('a', 2), lanes.enter('a', 2)]
  expect(() => lanes.enter('a', 2)).toThrow('2 messages of this conversation are waiting')
  places[0]?.leave()
  expect(lanes.enter('a', 2).inside).toBe(false)
})

it('passes over one that left while it was waiting', async () => {
  const lanes = new Lanes()
  const [first, second, third] = [lanes.enter('a', 64), lanes.enter('a', 64), lanes.enter('a', 64)]
  second.leave()
  first.leave()
  await third.ready
  third.leave()
  expect(lanes.size).toBe(0)
})
