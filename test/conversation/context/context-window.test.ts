import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { countThatFit, roomForTurns } from '../../../src/conversation/context/context-window.ts'
import { limitsOf } from '../../../src/conversation/model-limits.ts'

const tokens = fc.nat({ max: 5_000 })
const turns = fc.array(fc.array(tokens, { minLength: 1, maxLength: 4 }), { maxLength: 50 })
const total = (chosen: number[][]) => chosen.flat().reduce((a, b) => a + b, 0)

describe('the context window', () => {
  it('never takes more than there is room for', () => {
    fc.assert(
      fc.property(fc.integer({ min: -100, max: 100_000 }), turns, (room, newestFirst) => {
        const count = countThatFit(room, newestFirst)
        expect(total(newestFirst.slice(0, count))).toBeLessThanOrEqual(Math.max(0, room))
      }),
    )
  })

  it('leaves out a turn only when it and all newer ones do not fit', () => {
    fc.assert(
      fc.property(fc.nat(100_000), turns, (room, newestFirst) => {
        const count = countThatFit(room, newestFirst)
        if (count < newestFirst.length) expect(total(newestFirst.slice(0, count + 1))).toBeGreaterThan(room)
      }),
    )
  })

  it('takes no fewer turns when there is more room', () => {
    fc.assert(
      fc.property(fc.nat(50_000), fc.nat(50_000), turns, (room, more, newestFirst) => {
        expect(countThatFit(room + more, newestFirst)).toBeGreaterThanOrEqual(countThatFit(room, newestFirst))
      }),
    )
  })

  it('chooses the same turns in pages as at once', () => {
    fc.assert(
      fc.property(fc.nat(50_000), turns, fc.nat(50), (room, newestFirst, cut) => {
        const page = newestFirst.slice(0, cut)
        const inPage = countThatFit(room, page)
        const rest =
          inPage < page.length ? 0 : countThatFit(room - total(page), newestFirst.slice(page.length))
        expect(inPage + rest).toBe(countThatFit(room, newestFirst))
      }),
    )
  })

  it('keeps the room for the answer and what must go along free of past turns', () => {
    fc.assert(
      fc.property(fc.integer({ min: 256, max: 1_000_000 }), tokens, tokens, (window, instructions, input) => {
        const limits = limitsOf('some-local-model', window)
        const room = roomForTurns(limits, [instructions, input])
        expect(room + instructions + input + limits.answer).toBeLessThan(limits.window)
        expect(limits.answer).toBeGreaterThan(0)
      }),
    )
  })
})

describe('the limits of models', () => {
  it.each([
    ['gpt-4o-mini-2024-07-18', 128_000, 16_384],
    ['openai/gpt-4.1-mini', 1_047_576, 32_768],
    ['gpt-5-mini', 400_000, 128_000],
    ['gpt-5-chat-latest', 128_000, 16_384],
    ['gpt-4', 8_192, 2_048],
    ['gpt-4-32k-0613', 32_768, 8_192],
    ['o3-mini', 200_000, 100_000],
    ['llama3.2', 8_192, 2_048],
  ])('%s has a window of %i tokens, %i of them for the answer', (model, window, answer) => {
    expect(limitsOf(model, 8_192)).toEqual({ window, answer })
  })
})
