import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { countTokens as exact } from 'gpt-tokenizer/encoding/o200k_base'
import { expect, it } from 'vitest'
import { pacer } from '../../src/conversation/pacer.ts'
import { tokenCounter } from '../../src/upstream/count-tokens.ts'

const count = tokenCounter(pacer(() => performance.now()))

it.each([['Hello, world!'], ['안녕하세요, 반갑습니다 😀'], ['']])('counts %j exactly', async (text) => {
  expect(await count(text)).toBe(exact(text))
})

it('counts the special words of the encoding as text', async () => {
  expect(await count('<|endoftext|>')).toBeGreaterThan(1)
})

it('keeps nothing of the texts that it has counted', async () => {
  const word = () => Array.from({ length: 30 }, () => String.fromCharCode(97 + Math.random() * 26)).join('')
  const heap = () => {
    gc?.()
    return process.memoryUsage().heapUsed
  }
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as (() => void) | undefined
  for (let n = 0; n < 20; n++) await count(word() + ' '.repeat(500_000))
  const before = heap()
  for (let n = 0; n < 60; n++) await count(word() + ' '.repeat(500_000))
  expect(heap() - before).toBeLessThan(5_000_000)
})

it('takes 42,000 Korean characters without a space in a moment, and others get their turn meanwhile', async () => {
  const syllable = () => String.fromCodePoint(0xac00 + Math.floor(Math.random() * 11_172))
  const text = Array.from({ length: 42_000 }, syllable).join('')
  let turns = 0
  const others = setInterval(() => turns++, 0)
  const begin = performance.now()
  expect(await count(text)).toBeGreaterThan(10_000)
  clearInterval(others)
  expect(performance.now() - begin).toBeLessThan(2_000)
  expect(turns).toBeGreaterThan(1)
})
