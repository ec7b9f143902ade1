import { type AddressInfo, createServer, type Socket } from 'node:net'
import { describe, expect, it, onTestFinished } from 'vitest'
import { OpenAiUpstream } from '../../src/upstream/openai-upstream.ts'
import { collectAnswer } from '../support/collect-answer.ts'
import { measured } from '../support/measured.ts'
import { startTranscriptUpstream } from '../support/transcript-upstream.ts'

const told = { name: 'default', observer: measured() }

const limits = { connect: 1_000, firstToken: 2_000, idle: 2_000 }

async function start(options: { limits?: Partial<typeof limits>; apiKey?: string } = {}) {
  const other = await startTranscriptUpstream()
  return { other, upstream: upstreamAt(other.baseUrl, options) }
}

function upstreamAt(baseUrl: string, options: { limits?: Partial<typeof limits>; apiKey?: string } = {}) {
  const upstream = new OpenAiUpstream({
    ...told,
    baseUrl,
    apiKey: options.apiKey,
    limits: { ...limits, ...options.limits },
  })
  onTestFinished(() => upstream[Symbol.asyncDispose]())
  return upstream
}

const ask = { model: 'transcript', messages: ['{"role":"user","content":"hi"}'] }
const answerOf = (upstream: OpenAiUpstream, signal = new AbortController().signal) =>
  collectAnswer((hear) => upstream.answer(ask, hear, signal))

describe('the upstream', () => {
  it('is heard no more after an abort, also of what came in one piece with the first word', async () => {
    const chunk = (delta: object, reason: string | null = null) =>
      `data: ${JSON.stringify({ choices: [{ delta, finish_reason: reason }] })}\n\n`
    const said = `${chunk({ content: 'a' })}${chunk({ content: 'b' })}${chunk({}, 'stop')}data: [DONE]\n\n`
    const server = createServer((socket) => {
      socket.once('data', () =>
        socket.end(
          `HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: ${said.length}\r\n\r\n${said}`,
        ),
      )
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void server.close())
    const upstream = upstreamAt(`http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`)
    const abort = new AbortController()
    const heard: string[] = []
    const asked = upstream.answer(
      ask,
      ({ text }) => {
        heard.push(text)
        setImmediate(() => abort.abort(new Error('enough')))
        return true
      },
      abort.signal,
    )
    await expect(asked).rejects.toThrow('enough')
    expect(heard).toEqual(['a'])
  })

  it('is asked over connections that are kept alive, also when it streams', async () => {
    const { other, upstream } = await start()
    for (let n = 0; n < 20; n++) await answerOf(upstream)
    other.faults.push({ whole: true }, { status: 500 })
    await answerOf(upstream)
    await answerOf(upstream).catch(() => {})
    await answerOf(upstream)
    expect(other.journal).toHaveLength(23)
    expect(other.connections()).toBeLessThanOrEqual(2) // one may still be at the last byte of an answer
  })

  it('is sent the key, and to its own address alone', async () => {
    const { other, upstream } = await start({ apiKey: 'sk-secret' })
    await answerOf(upstream)
    expect(other.journal[0]?.headers.authorization).toBe('Bearer sk-secret')
    const elsewhere = await startTranscriptUpstream()
    other.faults.push({ status: 307, headers: { location: `${elsewhere.baseUrl}/chat/completions` } })
    await expect(answerOf(upstream)).rejects.toMatchObject({ code: 'upstream_bad_response' })
    expect(elsewhere.journal).toEqual([])
  })

  it.each([
    [{ status: 401 }, 'upstream_auth'],
    [{ status: 403 }, 'upstream_auth'],
    [{ status: 402 }, 'upstream_quota'],
    [{ status: 429, body: '{"error":{"code":"insufficient_quota"}}' }, 'upstream_quota'],
    [{ status: 429 }, 'upstream_rate_limited'],
    [{ status: 400, body: '{"error":{"code":"context_length_exceeded"}}' }, 'context_length_exceeded'],
    [{ status: 400, body: '{"error":{"type":"exceed_context_size_error"}}' }, 'context_length_exceeded'],
    [
      { status: 400, body: '{"message":"This model\'s maximum context length is 4096 tokens."}' },
      'context_length_exceeded',
    ],
    [{ status: 400, body: '{"error":{"message":"bad"}}' }, 'upstream_error'],
    [{ status: 404, body: '{"error":{"code":"model_not_found"}}' }, 'model_not_found'],
    [
      { status: 404, body: '{"error":{"message":"model \\"x\\" not found, try pulling it first"}}' },
      'model_not_found',
    ],
    [{ status: 404, body: '<html>' }, 'upstream_error'],
    [
      {
        status: 400,
        body: '[{"error":{"message":"The input token count (9) exceeds the maximum number of tokens"}}]',
      },
      'context_length_exceeded',
    ],
    [{ status: 408 }, 'upstream_timeout'],
    [{ status: 500 }, 'upstream_error'],
    [{ status: 503, body: 'x'.repeat(1_000_000) }, 'upstream_error'],
    [{ status: 504 }, 'upstream_timeout'],
    [{ status: 200, body: '<html>', headers: { 'content-type': 'text/html' } }, 'upstream_bad_response'],
    [{ cutAfter: 1 }, 'upstream_bad_response'],
    [{ cutAfter: 0 }, 'upstream_bad_response'],
  ])('that answers %o is %s', async (fault, code) => {
    const { other, upstream } = await start()
    other.faults.push(fault)
    await expect(answerOf(upstream)).rejects.toMatchObject({ code })
    expect((await answerOf(upstream)).text).toContain('count=1')
  })

  it.each([
    ['7', 7],
    [undefined, 1],
    ['soon', 1],
    ['99999999999999999999999', 86_400],
  ])('that rate limits with Retry-After %s is to be tried after %i s', async (value, seconds) => {
    const { other, upstream } = await start()
    other.faults.push({ status: 429, headers: value === undefined ? {} : { 'retry-after': value } })
    await expect(answerOf(upstream)).rejects.toMatchObject({ retryAfter: seconds })
  })

  it.each([
    ['unsupported_country', 'status 400 (unsupported_country)'],
    ...['sk-proj-4711', 'secret', 'Two_Words', 'a_b\n    at c', 'said_4711', 4711].map((code) => [
      code,
      'status 400',
    ]),
  ])(
    'that fails with the code %j is quoted where that is the name of an error, and no key',
    async (code, said) => {
      const { other, upstream } = await start()
      other.faults.push({ status: 400, body: JSON.stringify({ error: { code } }) })
      const message = `The upstream failed: it answered with ${said}.`
      await expect(answerOf(upstream)).rejects.toMatchObject({ code: 'upstream_error', message })
    },
  )

  it('that nobody listens for is unavailable', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    const { port } = server.address() as AddressInfo
    await new Promise((resolve) => server.close(resolve))
    const upstream = upstreamAt(`http://127.0.0.1:${port}/v1`)
    await expect(answerOf(upstream)).rejects.toMatchObject({
      code: 'upstream_unavailable',
      message: expect.stringContaining('ECONNREFUSED'),
    })
    await expect(upstream.models()).rejects.toMatchObject({ code: 'upstream_unavailable' })
    await expect(answerOf(upstreamAt('http://no-such-host.invalid/v1'))).rejects.toMatchObject({
      code: 'upstream_unavailable',
    })
  })

  it('that does not speak HTTP sends what cannot be used', async () => {
    const server = createServer((socket) => socket.on('error', () => {}).end('lol not http\r\n\r\n'))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void server.close())
    const upstream = upstreamAt(`http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`)
    await expect(answerOf(upstream)).rejects.toMatchObject({ code: 'upstream_bad_response' })
  })

  it('may call its JSON whatever it likes', async () => {
    const { other, upstream } = await start()
    const body = '{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}]}'
    other.faults.push({ status: 200, body, headers: { 'content-type': 'text/plain' } })
    expect((await answerOf(upstream)).text).toBe('a')
  })

  it('closes the connection when it is told to stop, with the reason it was given', async () => {
    const { other, upstream } = await start()
    other.faults.push({ stallAfter: 1 })
    const abort = new AbortController()
    const answer = answerOf(upstream, abort.signal)
    await other.arrived(1)
    abort.abort(new Error('enough'))
    await expect(answer).rejects.toThrow('enough')
    await expect.poll(() => other.journal[0]?.closedEarly).toBe(true)
    await expect(answerOf(upstream, AbortSignal.abort(new Error('before')))).rejects.toThrow('before')
  })

  it.each([
    ['silence', { stallAfter: 2 }, undefined],
    ['comments', { stallAfter: 2, heartbeat: 50 }, undefined],
    [
      'the counts, and then silence',
      { stallAfter: 3 },
      { input_tokens: 1, output_tokens: 3, total_tokens: 4 },
    ],
    ['the counts after a while', { pause: 700 }, { input_tokens: 1, output_tokens: 3, total_tokens: 4 }],
  ])('is waited for 2 s at most after its finish reason, whatever comes: %s', async (_, fault, usage) => {
    const { other, upstream } = await start({ limits: { idle: 9_000 } })
    other.faults.push({ say: 'done', ...fault })
    const begin = performance.now()
    expect(await answerOf(upstream)).toMatchObject({ text: 'done', incomplete: undefined, usage })
    expect(performance.now() - begin).toBeLessThan(3_000)
    await expect.poll(() => other.journal[0]?.closedEarly, { timeout: 3_000 }).toBe(!('pause' in fault))
    expect((await answerOf(upstream)).text).toContain('count=1')
  })

  it('is waited for no longer when it says again and again that it is finished', async () => {
    const { other, upstream } = await start()
    const finished = '{"choices":[{"delta":{},"finish_reason":"stop"}]}'
    other.faults.push({ data: Array(12).fill(finished), pause: 400 })
    const begin = performance.now()
    expect((await answerOf(upstream)).text).toBe('')
    expect(performance.now() - begin).toBeLessThan(3_000)
  })

  it('may go on after a finish reason, and is whole then', async () => {
    const { other, upstream } = await start()
    const piece = (content: string, finish_reason: string | null) =>
      JSON.stringify({ choices: [{ delta: { content }, finish_reason }] })
    const data = [piece('a', 'stop'), ...Array(4).fill(piece('b', null)), piece('c', 'stop'), '[DONE]']
    other.faults.push({ data, pause: 500 })
    expect((await answerOf(upstream)).text).toBe('abbbbc')
  })

  it('lists its models in one shape, whatever it leaves out', async () => {
    const { other, upstream } = await start()
    expect(await upstream.models()).toEqual([
      { id: 'transcript', object: 'model', created: 1, owned_by: 'test', permission: [], root: 'transcript' },
      { id: 'other', object: 'model', created: 1, owned_by: 'test', permission: [], root: 'other' },
    ])
    other.models = undefined
    expect(await upstream.models()).toBeUndefined()
  })
})

describe('promise 16: each time limit ends the turn within it + 1 s and frees the socket', () => {
  it.each([
    ['first token', { firstToken: 300 }, { delay: 10_000 }, 'no answer began within 300 ms'],
    ['first token, after the head', { firstToken: 300 }, { stallAfter: 0 }, 'no answer began within 300 ms'],
    [
      'first token, in spite of comments',
      { firstToken: 300 },
      { stallAfter: 0, heartbeat: 50 },
      'no answer began',
    ],
    ['idle', { idle: 300 }, { stallAfter: 2 }, 'nothing came for 300 ms'],
  ])('%s', async (_, limit, fault, detail) => {
    const { other, upstream } = await start({ limits: limit })
    other.faults.push(fault)
    const begin = performance.now()
    await expect(answerOf(upstream)).rejects.toMatchObject({
      code: 'upstream_timeout',
      message: expect.stringContaining(detail),
    })
    expect(performance.now() - begin).toBeLessThan(1_300)
    await expect.poll(() => other.journal[0]?.closedEarly).toBe(true)
  })

  it('idle counts any bytes as life once the answer has begun', async () => {
    const { other, upstream } = await start({ limits: { idle: 300 } })
    other.faults.push({ say: 'slow but alive', pause: 500, heartbeat: 50 })
    expect((await answerOf(upstream)).text).toBe('slow but alive')
  })

  it('idle is what holds once the model thinks aloud', async () => {
    const { other, upstream } = await start({ limits: { firstToken: 300 } })
    const piece = (delta: object, finish_reason: string | null) =>
      JSON.stringify({ choices: [{ delta, finish_reason }] })
    const data = [piece({ reasoning: 'hm' }, null), piece({ content: 'a' }, 'stop'), '[DONE]']
    other.faults.push({ data, pause: 600 })
    expect(await answerOf(upstream)).toMatchObject({ reasoning: 'hm', text: 'a' })
  })

  it('idle holds after the finish reason where it is the shorter', async () => {
    const { other, upstream } = await start({ limits: { idle: 300 } })
    other.faults.push({ say: 'done', stallAfter: 2 })
    const begin = performance.now()
    expect((await answerOf(upstream)).text).toBe('done')
    expect(performance.now() - begin).toBeLessThan(1_300)
  })

  it('connect', async () => {
    const held = new Set<Socket>()
    const silent = createServer((socket) => void held.add(socket.on('error', () => {}).resume()))
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => {
      for (const socket of held) socket.destroy()
      silent.close()
    })
    const { port } = silent.address() as AddressInfo
    const upstream = upstreamAt(`https://127.0.0.1:${port}/v1`, {
      limits: { connect: 300, firstToken: 9_000 },
    })
    const begin = performance.now()
    await expect(answerOf(upstream)).rejects.toMatchObject({
      code: 'upstream_timeout',
      message: expect.stringContaining('no connection'),
    })
    expect(performance.now() - begin).toBeLessThan(1_300)
    await expect.poll(() => [...held].every((socket) => socket.destroyed)).toBe(true)
  })
})
