import { expect, it } from 'vitest'
import { quietTurn } from '../support/collect-answer.ts'

const most = 8 * 1024 * 1024

it('lets half a character that was held back go as one that is missing', () => {
  const live = quietTurn()
  expect(live.hear({ type: 'delta', text: 'a\ud83d' })).toBe(true)
  live.finish()
  expect(live.output.text).toBe('a\ufffd')
})

it('adds nothing to an answer that was cut', () => {
  const live = quietTurn()
  expect(live.hear({ type: 'delta', text: 'x'.repeat(most) })).toBe(true)
  expect(live.hear({ type: 'delta', text: 'y\ud83d' })).toBe(false)
  live.finish()
  expect(live.output.text).toHaveLength(most)
})
