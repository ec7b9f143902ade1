import { expect, it, onTestFinished } from 'vitest'
import { demoAnswer, startDemoModel } from '../../src/upstream/demo-model.ts'
import { OpenAiUpstream } from '../../src/upstream/openai-upstream.ts'
import { piecesOf } from '../support/collect-answer.ts'
import { measured } from '../support/measured.ts'

const told = { name: 'default', observer: measured() }

const user = (content: string) => ({ role: 'user', content })

it('repeats the input, and says so as a demo', () => {
  expect(demoAnswer([user('Hi')])).toBe('[demo] You said "Hi".')
  expect(demoAnswer([user('안녕')])).toBe('[데모] "안녕"이라고 하셨습니다.')
  expect(demoAnswer([user('또 왔어!')])).toBe('[데모] "또 왔어!"라고 하셨습니다.')
})

it('tells of what came with it, instructions apart', () => {
  const messages = [
    { role: 'system', content: 'be brief' },
    user('one'),
    { role: 'assistant', content: 'x' },
    user('two'),
  ]
  expect(demoAnswer(messages)).toBe(
    '[demo] You said "two". 2 earlier messages came with it; the first was "one".',
  )
})

it('summarises what it is shown, on top of the summary before', () => {
  const turns = '<conversation>\nUser: Hi\nAssistant: [demo] You\nsaid "Hi".\n</conversation>'
  const first = '[demo] 2 messages were said; the first was "Hi".'
  expect(demoAnswer([{ role: 'system', content: 'sum up' }, user(turns)])).toBe(first)
  const again = `<summary_so_far>\n${first}\n</summary_so_far>\n${turns}`
  expect(demoAnswer([user(again)])).toBe(`${first} Then came 2 more.`)
})

it('speaks the protocol of any other upstream, word by word', async () => {
  const demo = await startDemoModel()
  const limits = { connect: 1_000, firstToken: 5_000, idle: 5_000 }
  const upstream = new OpenAiUpstream({ ...told, baseUrl: demo.baseUrl, apiKey: undefined, limits })
  onTestFinished(async () => {
    await upstream[Symbol.asyncDispose]()
    await demo[Symbol.asyncDispose]()
  })
  expect((await upstream.models())?.map(({ id }) => id)).toEqual(['demo'])
  const ask = { messages: [JSON.stringify(user('one two three'))] }
  const answer = (model: string) =>
    piecesOf((hear) => upstream.answer({ ...ask, model }, hear, new AbortController().signal))
  const { pieces, finish } = await answer('demo')
  expect(pieces.filter(({ type }) => type === 'delta').length).toBeGreaterThan(3)
  expect(finish).toMatchObject({ model: 'demo', usage: { input_tokens: 3 } })
  await expect(answer('gpt')).rejects.toMatchObject({ code: 'model_not_found' })
})
