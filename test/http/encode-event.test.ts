import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { TurnEvent } from '../../src/conversation/turn-event.ts'
import { eventEncoder } from '../../src/http/encode-event.ts'

const event = (text: string): TurnEvent => ({ type: 'response.output_text.done', sequence_number: 7, text })

const bytesOf = (encode: ReturnType<typeof eventEncoder>, text: string) =>
  Array.from(encode(event(text)), (piece) => Buffer.from(piece))

it('gives the same bytes for a long text in pieces as at once', () => {
  const encode = eventEncoder()
  const units = fc.array(fc.constantFrom('가', '😀', '"', '\\', '\n', 'a', '\u2028'), {
    minLength: 1,
    maxLength: 30,
  })
  fc.assert(
    fc.property(units, fc.integer({ min: 1, max: 4_000 }), (some, times) => {
      const text = some.join('').repeat(times)
      const written = Buffer.concat(bytesOf(encode, text)).toString()
      expect(written).toBe(
        `id: 7\nevent: response.output_text.done\ndata: ${JSON.stringify(event(text))}\n\n`,
      )
    }),
    { numRuns: 60 },
  )
})

it('writes a short event in one piece, and never makes more than a small piece of a long one', () => {
  const encode = eventEncoder()
  expect(bytesOf(encode, 'short')).toHaveLength(1)
  const pieces = bytesOf(encode, '가'.repeat(1_000_000))
  expect(Math.max(...pieces.map((piece) => piece.length))).toBeLessThanOrEqual(64 * 1024)
})
