import { countTokens as exact } from 'gpt-tokenizer/encoding/o200k_base'
import { expect, it } from 'vitest'
import { tokenCounter } from '../../src/upstream/count-tokens.ts'

const count = tokenCounter()

it.each([['Hello, world!'], ['안녕하세요, 반갑습니다 😀'], ['']])('counts %j exactly', async (text) => {
  expect(await count(text)).toBe(exact(text))
})

it('counts the special words of the encoding as text', async () => {
  expect(await count('<|endoftext|>')).toBeGreaterThan(1)
})

it('takes 42,000 Korean characters without a space in a moment, and others get their turn meanwhile', async () => {
  const syllable = () => String.fromCodePoint(0xac00 + Math.floor(Math.random() * 11_172))
  const text = Array.from({ length: 42_000 }, syllable).join('')
  let longest = 0
  let last = performance.now()
  const watch = setInterval(() => {
    longest = Math.max(longest, performance.now() - last)
    last = performance.now()
  }, 0)
  const begin = last
  expect(await count(text)).toBeGreaterThan(10_000)
  clearInterval(watch)
  const took = performance.now() - begin
  expect(took).toBeLessThan(2_000)
  expect(longest).toBeLessThan(took / 2)
})
