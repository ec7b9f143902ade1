import { describe, expect, it } from 'vitest'
import type { Hear } from '../../src/conversation/ports.ts'
import { readWhole as readBody, readStream as readEvents } from '../../src/upstream/read-answer.ts'
import { collectAnswer, piecesOf } from '../support/collect-answer.ts'

async function* bytesOf(...chunks: (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) yield typeof chunk === 'string' ? Buffer.from(chunk) : chunk
}

const delta = (content: string, reason: string | null = null) =>
  `data: ${JSON.stringify({ model: 'm', choices: [{ index: 0, delta: { content }, finish_reason: reason }] })}\n\n`
const usage = `data: ${JSON.stringify({ choices: [], usage: { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 } })}\n\n`
const done = 'data: [DONE]\n\n'
const readStream = (bytes: AsyncIterable<Uint8Array>) => (hear: Hear) =>
  readEvents(bytes, { model: 'asked' }, hear)
const readWhole = (bytes: AsyncIterable<Uint8Array>) => (hear: Hear) =>
  readBody(bytes, { model: 'asked' }, hear)
const text = '안녕하세요 👩‍👩‍👧 세계!'

describe('a streamed answer', () => {
  it('arrives whole wherever its bytes are split', async () => {
    const stream = Buffer.from(
      `: hello\n\n${delta('안녕하세요 👩‍👩‍👧 ')}${delta('세계!')}${delta('', 'stop')}${usage}${done}`,
    )
    for (let at = 0; at <= stream.length; at++) {
      const answer = await collectAnswer(readStream(bytesOf(stream.subarray(0, at), stream.subarray(at))))
      expect(answer.text).toBe(text)
      expect(answer.usage).toEqual({ input_tokens: 5, output_tokens: 2, total_tokens: 7 })
    }
    const single = await collectAnswer(readStream(bytesOf(...[...stream].map((byte) => Uint8Array.of(byte)))))
    expect(single).toMatchObject({ text, incomplete: undefined, model: 'm' })
  })

  it.each([
    ['CRLF', `${delta('a')}${delta('b', 'stop')}`.replaceAll('\n', '\r\n')],
    ['no [DONE] and no empty line at its end', `${delta('a')}${delta('b', 'stop')}`.trimEnd()],
    ['no space after the colon', `${delta('a')}${delta('b', 'stop')}`.replaceAll('data: ', 'data:')],
    ['a role first and an empty piece last', `${delta('')}${delta('ab')}${delta('', 'stop')}${done}`],
    ['event names and ids', `event: message\nid: 7\n${delta('ab', 'stop')}${done}`],
  ])('may have %s', async (_, stream) => {
    expect((await collectAnswer(readStream(bytesOf(stream)))).text).toBe('ab')
  })

  it.each([
    ['length', 'max_output_tokens'],
    ['content_filter', 'content_filter'],
    ['stop', undefined],
    ['eos', undefined],
    ['constructor', undefined],
    ['__proto__', undefined],
  ])('with the finish reason %s is marked %s', async (reason, incomplete) => {
    const answer = await collectAnswer(readStream(bytesOf(delta('ab', reason), done)))
    expect(answer).toMatchObject({ text: 'ab', incomplete })
  })

  it('joins the parts of a content that comes as a list', async () => {
    const content = [{ type: 'text', text: 'a' }, { type: 'image' }, { type: 'text', text: 'b' }]
    const object = { choices: [{ delta: { content }, finish_reason: 'stop' }] }
    expect((await collectAnswer(readStream(bytesOf(`data: ${JSON.stringify(object)}\n\n`)))).text).toBe('ab')
  })

  it('is that of the first choice, when there are more', async () => {
    const choices = [
      { index: 1, delta: { content: 'other' }, finish_reason: 'stop' },
      { index: 0, delta: { content: 'right' }, finish_reason: 'stop' },
    ]
    const object = JSON.stringify({ choices })
    expect((await collectAnswer(readStream(bytesOf(`data: ${object}\n\n`)))).text).toBe('right')
  })

  it('may name a model that no database could keep: it is made clean', async () => {
    const object = `{"model":"m\\ud800\\u0000","choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}`
    expect((await collectAnswer(readStream(bytesOf(`data: ${object}\n\n`)))).model).toBe('m\uFFFD')
  })

  it.each([
    ['reasoning_content', { reasoning_content: 'hm' }],
    ['reasoning', { reasoning: 'hm' }],
    ['both names', { reasoning: 'hm', reasoning_content: 'hm' }],
    ['an empty first name', { reasoning_content: '', reasoning: 'hm' }],
    [
      'its details beside it',
      { reasoning: 'hm', reasoning_details: [{ type: 'reasoning.text', text: 'hm' }] },
    ],
  ])('may think aloud as %s, once, before what it says', async (_, thought) => {
    const object = { choices: [{ delta: { ...thought, content: 'a' }, finish_reason: 'stop' }] }
    const { pieces } = await piecesOf(readStream(bytesOf(`data: ${JSON.stringify(object)}\n\n`)))
    expect(pieces).toEqual([
      { type: 'reasoning', text: 'hm' },
      { type: 'delta', text: 'a' },
    ])
  })

  it('keeps a thought within its text where it is: it may be a quotation', async () => {
    const answer = await collectAnswer(readStream(bytesOf(delta('<think>hm</think>a', 'stop'))))
    expect(answer).toMatchObject({ text: '<think>hm</think>a', reasoning: '' })
  })

  it.each([[null], [7], [{ effort: 'low' }]])(
    'has no thought in a reasoning that is %j',
    async (reasoning) => {
      const object = { choices: [{ delta: { reasoning, content: 'a' }, finish_reason: 'stop' }] }
      expect(await collectAnswer(readStream(bytesOf(`data: ${JSON.stringify(object)}\n\n`)))).toMatchObject({
        text: 'a',
        reasoning: '',
      })
    },
  )

  it('gives a refusal as the answer that it is', async () => {
    const refusal = { choices: [{ delta: { content: null, refusal: 'No.' }, finish_reason: 'stop' }] }
    expect((await collectAnswer(readStream(bytesOf(`data: ${JSON.stringify(refusal)}\n\n`)))).text).toBe(
      'No.',
    )
  })

  it.each([
    ['error', {}, 'upstream_error'],
    ['error', { error: { code: 429, message: 'secret' } }, 'upstream_rate_limited'],
    ['network_error', {}, 'upstream_error'],
    ['insufficient_system_resource', {}, 'upstream_error'],
  ])('that finishes by %s with %j is a fault', async (reason, fields, code) => {
    const choice = { index: 0, delta: { content: 'half' }, finish_reason: reason, ...fields }
    const stream = `data: ${JSON.stringify({ choices: [choice] })}\n\n${done}`
    await expect(collectAnswer(readStream(bytesOf(stream)))).rejects.toMatchObject({ code })
  })

  it.each([
    ['ends without a finish reason', `${delta('half')}`, 'without a finish reason'],
    ['says [DONE] without a finish reason', `${delta('half')}${done}`, 'without a finish reason'],
    ['is empty', '', 'without a finish reason'],
    ['is cut in the middle of an event', delta('half').slice(0, 30), 'not JSON'],
    ['holds bad JSON', `${delta('half')}data: {oops\n\n`, 'not JSON'],
    ['holds other JSON', 'data: {"hello":1}\n\n', 'not a chat completion'],
    ['holds HTML', '<html><body>Bad gateway</body></html>', 'without a finish reason'],
  ])('that %s is a fault', async (_, stream, detail) => {
    await expect(collectAnswer(readStream(bytesOf(stream)))).rejects.toMatchObject({
      code: 'upstream_bad_response',
      message: expect.stringContaining(detail),
    })
  })

  it.each([
    [{ message: 'secret', type: 'server_error' }, 'upstream_error'],
    [{ message: 'secret', code: 429 }, 'upstream_rate_limited'],
    [{ message: 'secret', code: 'insufficient_quota' }, 'upstream_quota'],
    [{ message: 'secret', type: 'rate_limit_exceeded' }, 'upstream_rate_limited'],
    [{ message: 'secret', code: 'context_length_exceeded' }, 'context_length_exceeded'],
    ['secret', 'upstream_error'],
  ])('with the error event %j is that fault, and its words stay inside', async (error, code) => {
    const stream = `${delta('half')}data: ${JSON.stringify({ error })}\n\n`
    const thrown = await collectAnswer(readStream(bytesOf(stream))).catch((e: unknown) => e)
    expect(thrown).toMatchObject({ code })
    expect(String(thrown)).not.toContain('secret')
  })

  it('is whole once its finish reason is here, however the connection ends', async () => {
    async function* broken() {
      yield* bytesOf(delta('ab', 'stop'))
      throw new Error('reset')
    }
    expect((await collectAnswer(readStream(broken()))).text).toBe('ab')
  })

  it('is cut at 8 MiB, at a whole character, and no more of it is read', async () => {
    let sent = 0
    async function* endless() {
      for (;;) {
        sent++
        yield* bytesOf(delta('가'.repeat(100_000)))
      }
    }
    const answer = await collectAnswer(readStream(endless()))
    expect(answer.incomplete).toBe('max_output_bytes')
    expect(Buffer.byteLength(answer.text)).toBe(Math.floor((8 * 1024 * 1024) / 3) * 3)
    expect(sent).toBeLessThan(30)
  })

  it('is refused when one event alone is over 16 MiB', async () => {
    async function* endless() {
      yield* bytesOf('data: ')
      for (;;) yield* bytesOf('x'.repeat(1_000_000))
    }
    await expect(collectAnswer(readStream(endless()))).rejects.toMatchObject({
      code: 'upstream_bad_response',
    })
  })

  it('loses half surrogates and NUL, which no database keeps', async () => {
    const stream = 'data: {"choices":[{"delta":{"content":"a\\ud83d\\u0000b"},"finish_reason":"stop"}]}\n\n'
    expect((await collectAnswer(readStream(bytesOf(stream)))).text).toBe('a\uFFFDb')
  })

  it('keeps an emoji whose halves came in two pieces', async () => {
    const halves = [
      '{"choices":[{"delta":{"content":"\\ud83d"}}]}',
      '{"choices":[{"delta":{"content":"\\ude00"},"finish_reason":"stop"}]}',
    ]
    const stream = halves.map((half) => `data: ${half}\n\n`).join('')
    expect((await collectAnswer(readStream(bytesOf(stream)))).text).toBe('😀')
  })
})

describe('what an answer is said to have taken', () => {
  const usageOf = async (said: object) => {
    const choices = [{ message: { content: 'a' }, finish_reason: 'stop' }]
    return (await collectAnswer(readWhole(bytesOf(JSON.stringify({ choices, usage: said }))))).usage
  }

  it.each([[1e9 + 1], [9_007_199_254_740_991], [2 ** 60], [-1], [0.5], ['7']])(
    'is nothing where a count is %j',
    async (count) => {
      expect(await usageOf({ prompt_tokens: count, completion_tokens: 2, total_tokens: 3 })).toBeUndefined()
      expect(await usageOf({ prompt_tokens: 1, completion_tokens: count, total_tokens: 3 })).toBeUndefined()
      expect(await usageOf({ prompt_tokens: 1, completion_tokens: 2, total_tokens: count })).toEqual({
        ...{ input_tokens: 1, output_tokens: 2, total_tokens: 3 },
      })
    },
  )
})

describe('an answer in one piece', () => {
  it('may begin with a byte order mark', async () => {
    const body = '\uFEFF{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}]}'
    expect((await collectAnswer(readWhole(bytesOf(body)))).text).toBe('a')
  })

  it('may think aloud', async () => {
    const message = { reasoning_content: 'hm', content: 'a' }
    const body = JSON.stringify({ choices: [{ message, finish_reason: 'stop' }] })
    expect(await collectAnswer(readWhole(bytesOf(body)))).toMatchObject({ reasoning: 'hm', text: 'a' })
  })

  it('is read as it is', async () => {
    const body = JSON.stringify({
      model: 'm',
      choices: [{ message: { content: text }, finish_reason: 'stop' }],
    })
    expect(await collectAnswer(readWhole(bytesOf(body)))).toMatchObject({
      text,
      model: 'm',
      usage: undefined,
    })
  })

  it.each([['{"choices":[{"message":{"content":"half"}}]}'], ['{"choices":[]}'], ['{'], ['[]'], ['null']])(
    'is a fault when it is %s',
    async (body) => {
      await expect(collectAnswer(readWhole(bytesOf(body)))).rejects.toMatchObject({
        code: 'upstream_bad_response',
      })
    },
  )
})
