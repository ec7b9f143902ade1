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

it('lets one who comes next pass those who wait', async () => {
  const lanes = new Lanes()
  const [first, second] = [lanes.enter('a', 64), lanes.enter('a', 64)]
  const next = lanes.enter('a', 64, true)
  first.leave()
  await next.ready
  const order: string[] = []
  void second.ready.then(() => order.push('second'))
  await null
  expect(order).toEqual([])
})

it('interrupts whoever is inside, also when that is known only later, and never oneself', () => {
  const lanes = new Lanes()
  const [inside, other] = [lanes.enter('a', 64), lanes.enter('a', 64, true)]
  let interrupted = 0
  inside.interruptOther()
  inside.onInterrupt(() => interrupted++)
  expect(interrupted).toBe(0)
  other.interruptOther()
  expect(interrupted).toBe(1)
  const early = lanes.enter('b', 64)
  lanes.enter('b', 64, true).interruptOther()
  early.onInterrupt(() => interrupted++)
  expect(interrupted).toBe(2)
})

it('keeps other lanes free', async () => {
  const lanes = new Lanes()
  lanes.enter('a', 64)
  expect(lanes.enter('b', 64).first).toBe(true)
})

it('refuses whoever comes when the lane is full, and takes the next when it is not', async () => {
  const lanes = new Lanes()
  const places = [lanes.enter('a', 2), lanes.enter('a', 2), lanes.enter('a', 2)]
  expect(() => lanes.enter('a', 2)).toThrow('2 messages of this conversation are waiting')
  places[0]?.leave()
  expect(lanes.enter('a', 2).first).toBe(false)
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
