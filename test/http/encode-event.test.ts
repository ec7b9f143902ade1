import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { TurnEvent } from '../../src/conversation/turn-event.ts'
import { eventEncoder } from '../../src/http/encode-event.ts'

const event = (text: string): TurnEvent => ({ type: 'response.output_text.done', sequence_number: 7, text })

const bytesOf = (encode: ReturnType<typeof eventEncoder>, text: string) =>
  Array.from(encode([event(text)]), ({ bytes }) => bytes)

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

const delta = (n: number, text = `piece ${n} 가`): TurnEvent => ({
  type: 'response.output_text.delta',
  sequence_number: n,
  delta: text,
})

const textOf = (events: readonly TurnEvent[]) =>
  events
    .map((one) => `id: ${one.sequence_number}\nevent: ${one.type}\ndata: ${JSON.stringify(one)}\n\n`)
    .join('')

it('writes the same, whatever comes together, for each of many readers', () => {
  const long = '나'.repeat(20_000)
  const all = Array.from({ length: 300 }, (_, n) => delta(n, n % 70 === 69 ? long : undefined))
  fc.assert(
    fc.property(
      fc.array(fc.array(fc.integer({ min: 1, max: 90 })), { minLength: 1, maxLength: 4 }),
      (readers) => {
        const encode = eventEncoder()
        for (const steps of readers) {
          const written: Uint8Array[] = []
          let at = 0
          for (const step of [...steps, all.length]) {
            const events = all.slice(at, at + step)
            const parts = [...encode(events)]
            written.push(...parts.map(({ bytes }) => bytes))
            if (events.length > 0) expect(parts.at(-1)?.number).toBe(events.at(-1)?.sequence_number)
            at += events.length
          }
          expect(Buffer.concat(written).toString()).toBe(textOf(all))
        }
      },
    ),
    { numRuns: 60 },
  )
})

it('writes short events together, in the same bytes for all who read them', () => {
  const encode = eventEncoder()
  const all = Array.from({ length: 200 }, (_, n) => delta(n))
  const [one, other] = [[...encode(all)], [...encode(all)]]
  expect(one.length).toBeLessThan(10)
  expect(one.slice(0, -1).every(({ bytes }, n) => bytes === other[n]?.bytes)).toBe(true)
})
