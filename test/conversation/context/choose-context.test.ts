import fc from 'fast-check'
import { expect, it, onTestFinished } from 'vitest'
import { chooseContext } from '../../../src/conversation/context/choose-context.ts'
import { mended } from '../../../src/conversation/context/past-run.ts'
import { steadyCut } from '../../../src/conversation/context/past-window.ts'
import { uncounted } from '../../../src/conversation/context/sizes.ts'
import { limitsOf } from '../../../src/conversation/model-limits.ts'
import { openStorage } from '../../../src/storage/open-storage.ts'
import { answer, begin, commit, someone, turn } from '../../contract/samples.ts'
import { temporaryDir } from '../../support/start-server.ts'

/** A conversation of so many turns with uncounted messages of 40 bytes, and what a context of it needs. */
async function conversation(turns: number) {
  const storage = await openStorage({ dir: temporaryDir(), durability: 'normal', now: 1 })
  onTestFinished(() => storage[Symbol.asyncDispose]())
  const { store } = storage
  const key = someone()
  const text = (role: string, n: number) => `${role} ${n} `.padEnd(40, 'x')
  for (let n = 0; n < turns; n++) {
    const claim = await begin(store, { ...turn(key, ''), input: uncounted('user', text('user', n)) })
    await commit(store, claim, { ...answer(text('answer', n)), tokens: 44, counted: false })
  }
  const counted: string[] = []
  const countTokens = async (words: string) => {
    counted.push(words)
    return words.length / 4 // ten tokens for each
  }
  const claim = await begin(store, turn(key, 'now'))
  const choose = async (window: number) => {
    counted.length = 0
    const request = {
      model: 'm',
      instructions: undefined,
      input: uncounted('user', 'now!'),
      limits: limitsOf('m', window),
      own: limitsOf('m', window),
    }
    const { past } = await chooseContext({ past: store, countTokens }, claim, request)
    return { turns: past.items().length / 2, counted: counted.length }
  }
  return { choose }
}

it('counts nothing as long as everything fits by its bytes alone', async () => {
  const { choose } = await conversation(10)
  expect(await choose(4_000)).toEqual({ turns: 10, counted: 0 })
})

it('counts what may not fit, newest first and no further than needed, and each message once', async () => {
  const { choose } = await conversation(100)
  // 28 tokens for a turn; of 1,000 a quarter is kept for the answer, 3 for the request, 5 for the input.
  const fitting = Math.floor((1_000 - 250 - 3 - 5) / 28)
  expect(await choose(1_000)).toEqual({ turns: fitting, counted: 2 * (fitting + 1) + 1 })
  await expect.poll(async () => (await choose(1_000)).counted).toBe(1)
  expect((await choose(1_000)).turns).toBe(fitting)
})

it('moves a cut by an eighth of the turns at most, to where it stays for some turns', () => {
  fc.assert(
    fc.property(fc.nat(10_000), fc.nat(10_000), (from, sent) => {
      const cut = steadyCut(from, from + sent)
      expect(cut).toBeGreaterThanOrEqual(from)
      expect(cut - from).toBeLessThanOrEqual(sent / 8)
    }),
  )
  const cuts = Array.from({ length: 32 }, (_, n) => steadyCut(100 + n, 200 + n))
  expect(new Set(cuts).size).toBe(5)
})

it('sends an answer without a word as one that every API takes', () => {
  expect(mended(uncounted('assistant', ''))).toBe(
    JSON.stringify({ role: 'assistant', content: '(no answer)' }),
  )
  expect(mended(uncounted('user', ' '))).toBe(JSON.stringify({ role: 'user', content: ' ' }))
})
