import { expect, it } from 'vitest'
import { Calibration } from '../../../src/conversation/context/calibration.ts'

const limits = { window: 8_000, answer: 2_000 }

it('takes a window to be smaller where an upstream counts more tokens, and never larger', () => {
  const calibration = new Calibration()
  expect(calibration.limits('m', limits)).toEqual(limits)
  calibration.learn('m', 1_000, 2_000)
  expect(calibration.limits('m', limits)).toEqual({ window: 6_400, answer: 1_600 }) // one odd number moves little
  for (let n = 0; n < 30; n++) calibration.learn('m', 1_000, 2_000)
  expect(calibration.limits('m', limits).window).toBeCloseTo(4_000, -2)
  expect(calibration.limits('other', limits)).toEqual(limits)
  for (let n = 0; n < 40; n++) calibration.learn('m', 1_000, 10)
  expect(calibration.limits('m', limits).window).toBeGreaterThan(7_990)
  expect(calibration.limits('m', limits).window).toBeLessThanOrEqual(8_000)
})

it('believes no count out of all proportion', () => {
  const calibration = new Calibration()
  for (let n = 0; n < 50; n++) calibration.learn('m', 10, 1_000_000)
  expect(calibration.limits('m', limits).window).toBeGreaterThanOrEqual(2_000)
})

it('learns that a window is smaller than was thought, from a context that nearly filled it', () => {
  const calibration = new Calibration()
  calibration.refused('m', 1_000, 8_000)
  expect(calibration.limits('m', limits)).toEqual(limits)
  calibration.refused('m', 4_000, 8_000)
  expect(calibration.limits('m', limits).window).toBe(6_400)
})

it('remembers so many models and no more', () => {
  const calibration = new Calibration()
  for (let n = 0; n <= 1_000; n++) calibration.learn(`m${n}`, 1, 2)
  expect(calibration.limits('m0', limits)).toEqual(limits)
  expect(calibration.limits('m1', limits).window).toBe(6_400)
})
