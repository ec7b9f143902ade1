import fc from 'fast-check'
import { expect, it } from 'vitest'
import { clientName } from '../../src/conversation/client-name.ts'

it('makes one name of the composed and the decomposed form of 한글', () => {
  expect(clientName('민수'.normalize('NFD'))).toBe('민수')
})

it('keeps names apart that only look or sound alike', () => {
  expect(clientName('ﬁ')).not.toBe(clientName('fi'))
  expect(clientName('Minsu')).not.toBe(clientName('minsu'))
})

it.each([
  ['control', 'a\u0007b'],
  ['NUL', 'a\0'],
  ['new line', 'a\nb'],
  ['line separator', 'a\u2028b'],
  ['zero-width space', 'a\u200Bb'],
  ['zero-width joiner', 'a\u200Db'],
  ['byte order mark', '\uFEFFa'],
  ['right-to-left override', 'a\u202Eb'],
  ['bidi isolate', 'a\u2066b'],
  ['lone surrogate', 'a\uD800b'],
])('refuses a name with a %s', (_, name) => {
  expect(() => clientName(name)).toThrow(/'client_name' holds a control/)
})

it('counts characters, not bytes or UTF-16 units, and after normalising', () => {
  expect(clientName('😀'.repeat(128))).toHaveLength(256)
  expect(() => clientName('😀'.repeat(129))).toThrow('has 129 characters')
  expect(clientName('각'.repeat(128).normalize('NFD'))).toHaveLength(128)
  expect(() => clientName('')).toThrow('is empty')
})

it('is its own result, for whatever it accepts', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', minLength: 1, maxLength: 40 }), (raw) => {
      let name: string
      try {
        name = clientName(raw)
      } catch {
        return
      }
      expect(clientName(name)).toBe(name)
      expect(name).toBe(raw.normalize('NFC'))
    }),
  )
})
