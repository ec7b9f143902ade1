import { describe, expect, it } from 'vitest'
import { compared, type Slices } from '../../bench/interleaved.ts'
import { type Goal, goalsOf, growthPerDoubling, verdictOf } from '../../bench/performance-result.ts'
import { plot } from '../../bench/plot.ts'
import { performanceTables } from '../../bench/report-performance.ts'
import { collapses } from '../../bench/smoke-check.ts'
import { result } from './results.ts'

const slice = (perSecond: number, cpu: number) => ({ perSecond, cpu, p50: 1, p99: 2 })

describe('compared', () => {
  const slices: Slices = {
    base: [slice(1_000, 0.1), slice(2_000, 0.05), slice(400, 0.25)],
    other: [slice(500, 0.2), slice(800, 0.1), slice(320, 1)],
  }

  it('ratios are medians of the ratios of each round, not ratios of medians', () => {
    const [base, other] = compared(slices, 'base')
    expect(base).toMatchObject({ name: 'base', perSecond: 1_000, throughputRatio: 1, cpuRatio: 1 })
    expect(other).toMatchObject({
      name: 'other',
      perSecond: 500,
      cpu: 0.2,
      throughputRatio: 0.5,
      cpuRatio: 2,
    })
  })

  it('needs the one that others are compared with', () => {
    expect(() => compared(slices, 'nobody')).toThrow(RangeError)
  })
})

describe('verdictOf', () => {
  const goal: Goal = { name: '', figure: 0, must: 2, stretch: 1.4, atLeast: false, unit: '' }

  it.each([
    [1.4, 'stretch'],
    [1.41, 'must'],
    [2, 'must'],
    [2.01, 'missed'],
    [Number.NaN, 'missed'],
  ])('at most 2, better 1.4: %d is %s', (figure, verdict) => {
    expect(verdictOf({ ...goal, figure })).toBe(verdict)
  })

  it.each([
    [0.75, 'stretch'],
    [0.6, 'must'],
    [0.5, 'missed'],
    [Number.NaN, 'missed'],
  ])('at least 0.55, better 0.75: %d is %s', (figure, verdict) => {
    expect(verdictOf({ ...goal, figure, must: 0.55, stretch: 0.75, atLeast: true })).toBe(verdict)
  })

  it('where nothing better is aimed at, it is held or not', () => {
    const { stretch: _, ...plain } = goal
    expect(verdictOf({ ...plain, figure: 0 })).toBe('must')
  })
})

it('what has grown tenfold over ten times the size has doubled with each doubling', () => {
  expect(growthPerDoubling(10, 200, 2_000)).toBeCloseTo(2)
  expect(growthPerDoubling(1, 200, 2_000)).toBe(1)
})

describe('goalsOf', () => {
  it('has each figure that is aimed at, and takes it from the result', () => {
    const goals = goalsOf(result('performance'))
    expect(goals.map(({ must, stretch }) => [must, stretch])).toEqual([
      [0.55, 0.75],
      [2, 1.4],
      [0.7, 0.9],
      [5, 8],
      [1, 0.5],
      [1.3, 1.1],
      [1.6, 1.4],
      [100, undefined],
      [1.2, undefined],
    ])
    for (const { name, figure } of goals) expect(figure, name).not.toBeNaN()
  })

  it('what was left out is missed, and the table says so', () => {
    const nothing = { ...result('performance'), comparison: [] }
    expect(verdictOf(goalsOf(nothing)[0] as Goal)).toBe('missed')
    expect(performanceTables(nothing)['goals']).toContain('| ≥ 0.55 | ≥ 0.75 | NaN | **no** |')
  })
})

describe('collapses', () => {
  const before = { throughputRatio: 0.5, cpuRatio: 2 }

  it('lets noise pass', () => {
    expect(collapses({ throughputRatio: 0.31, cpuRatio: 3.1 }, before)).toEqual([])
  })

  it('names what is far from what it was', () => {
    expect(collapses({ throughputRatio: 0.25, cpuRatio: 4 }, before)).toEqual([
      'COLLAPSED: throughput is 50 % of what was saved',
      'COLLAPSED: CPU is 200 % of what was saved',
    ])
    expect(collapses({ throughputRatio: Number.NaN, cpuRatio: Number.NaN }, before)).toHaveLength(2)
  })
})

it('the plot has two bars for each, the longest as wide as their place', () => {
  const drawn = plot(result('performance'))
  const widths = [...drawn.matchAll(/<rect [^>]*width="([\d.]+)"/g)].map(([, width]) => Number(width))
  const many = result('performance').comparison.length
  expect(widths).toHaveLength(2 * many)
  expect([Math.max(...widths.slice(0, many)), Math.max(...widths.slice(many))]).toEqual([240, 240])
  expect(drawn).not.toMatch(/&|NaN|undefined/)
})
