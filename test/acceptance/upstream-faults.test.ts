import { describe, expect, it } from 'vitest'
import { clientOf } from '../support/client.ts'
import { startServer } from '../support/start-server.ts'
import { type Fault, startTranscriptUpstream } from '../support/transcript-upstream.ts'

const html = { status: 200, body: '<html>sign in</html>', headers: { 'content-type': 'text/html' } }

const cases: [name: string, fault: Fault, status: number, code: string][] = [
  ['401', { status: 401 }, 502, 'upstream_auth'],
  ['403', { status: 403 }, 502, 'upstream_auth'],
  [
    'a context that is too long',
    { status: 400, body: '{"error":{"code":"context_length_exceeded"}}' },
    400,
    'context_length_exceeded',
  ],
  [
    'a model that it has not',
    { status: 404, body: '{"error":{"code":"model_not_found"}}' },
    400,
    'model_not_found',
  ],
  ['429', { status: 429, headers: { 'retry-after': '7' } }, 429, 'upstream_rate_limited'],
  [
    '429 for want of credit',
    { status: 429, body: '{"error":{"code":"insufficient_quota"}}' },
    503,
    'upstream_quota',
  ],
  ['400', { status: 400 }, 502, 'upstream_error'],
  ['HTML with 200', html, 502, 'upstream_bad_response'],
  ['bad JSON in the stream', { data: ['{oops'] }, 502, 'upstream_bad_response'],
  ['an error event in the stream', { data: ['{"error":{"message":"no"}}'] }, 502, 'upstream_error'],
  ['a stream without a finish reason', { finishReason: null }, 502, 'upstream_bad_response'],
  ['a cut in mid-stream', { cutAfter: 2 }, 502, 'upstream_bad_response'],
  ['a stall before the first token', { stallAfter: 0 }, 504, 'upstream_timeout'],
  ['a stall in mid-stream', { stallAfter: 2 }, 504, 'upstream_timeout'],
  ['a slow answer', { delay: 3_000 }, 504, 'upstream_timeout'],
]

describe('promises 14, 15 and 16: a fault of the upstream', () => {
  it.each(cases)(
    '%s: its own status and code, nothing in the history, and the next query works',
    async (_, fault, status, code) => {
      const upstream = await startTranscriptUpstream()
      const limits = { DAEHWA_FIRST_TOKEN_TIMEOUT_MS: '400', DAEHWA_IDLE_TIMEOUT_MS: '400' }
      const server = await startServer({ env: { OPENAI_BASE_URL: upstream.baseUrl, ...limits } })
      const client = clientOf(server.url)
      upstream.faults.push(fault)
      const reply = await client.query('민수', 'first')
      expect([reply.status, reply.body.code]).toEqual([status, code])
      expect(reply.body.error).toMatch(/^[A-Z].*\.$/)
      expect(reply.body.request_id).toBe(reply.headers.get('x-request-id'))
      if (status === 429) expect(reply.headers.get('retry-after')).toBe('7')
      expect((await client.history('민수')).body).toEqual([])
      const next = await client.query('민수', 'second')
      expect([next.status, upstream.journal.at(-1)?.messages]).toEqual([
        200,
        [{ role: 'user', content: 'second' }],
      ])
      expect(upstream.journal).toHaveLength(2)
    },
  )

  it('that is dead: 503, and the next query works when it is back', async () => {
    const dead = await startTranscriptUpstream()
    await dead.stop()
    const env = { OPENAI_BASE_URL: dead.baseUrl, DAEHWA_DEFAULT_MODEL: 'transcript' }
    const client = clientOf((await startServer({ env })).url)
    const reply = await client.query('민수', 'first')
    expect([reply.status, reply.body.code]).toEqual([503, 'upstream_unavailable'])
    expect(reply.headers.get('retry-after')).toBe('1')
    expect((await client.history('민수')).body).toEqual([])
    await dead.startAgain()
    expect((await client.query('민수', 'second')).status).toBe(200)
    expect((await client.history('민수')).body).toHaveLength(2)
  })

  it('ends a turn at the total limit, though tokens still come', async () => {
    const upstream = await startTranscriptUpstream()
    const env = { OPENAI_BASE_URL: upstream.baseUrl, DAEHWA_TURN_TIMEOUT_MS: '600' }
    const client = clientOf((await startServer({ env })).url)
    await client.model('민수')
    upstream.faults.push({ say: 'word '.repeat(1_000), pause: 20 })
    const begin = performance.now()
    const reply = await client.query('민수', 'first')
    expect([reply.status, reply.body.code]).toEqual([504, 'upstream_timeout'])
    expect(reply.body.error).toContain('the turn took over 600 ms')
    expect(performance.now() - begin).toBeLessThan(1_600)
    await expect.poll(() => upstream.journal[0]?.closedEarly).toBe(true)
  })

  it('marks an answer that is cut short, in the reply and in the history', async () => {
    const upstream = await startTranscriptUpstream()
    const client = clientOf((await startServer({ env: { OPENAI_BASE_URL: upstream.baseUrl } })).url)
    upstream.faults.push({ say: 'half of', finishReason: 'length' })
    const reply = await client.query('민수', 'first')
    expect(reply.body).toMatchObject({ response: 'half of', incomplete: 'max_output_tokens' })
    expect((await client.history('민수')).body[1]).toMatchObject({
      content: 'half of',
      incomplete: 'max_output_tokens',
    })
  })

  it('has Korean and emoji whole that came one byte at a time', async () => {
    const upstream = await startTranscriptUpstream()
    const client = clientOf((await startServer({ env: { OPENAI_BASE_URL: upstream.baseUrl } })).url)
    upstream.faults.push({ say: '안녕하세요 👩‍👩‍👧 세계', byteByByte: true })
    expect((await client.query('민수', 'hi')).body.response).toBe('안녕하세요 👩‍👩‍👧 세계')
  })
})

describe('while a message is being answered', () => {
  it('its client may go away: the answer is in the history', async () => {
    const upstream = await startTranscriptUpstream()
    const server = await startServer({ env: { OPENAI_BASE_URL: upstream.baseUrl } })
    upstream.faults.push({ delay: 300 })
    const abort = new AbortController()
    const init = { method: 'POST', headers: { 'content-type': 'application/json' }, signal: abort.signal }
    const lost = fetch(`${server.url}/query`, { ...init, body: '{"input":"hi","client_name":"a"}' })
    lost.catch(() => {})
    await upstream.arrived(1)
    abort.abort()
    await expect(lost).rejects.toThrow()
    await expect.poll(async () => (await clientOf(server.url).history('a')).body.length).toBe(2)
  })

  it('promise 10: its history may be cleared: 200 at once, 410 to the one who waits, and nothing comes back', async () => {
    const upstream = await startTranscriptUpstream()
    const client = clientOf((await startServer({ env: { OPENAI_BASE_URL: upstream.baseUrl } })).url)
    await client.query('민수', 'before')
    upstream.faults.push({ stallAfter: 1 })
    const waiting = [client.query('민수', 'running'), client.query('민수', 'queued')]
    await upstream.arrived(2)
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect((await client.clear('민수')).body.message).toContain('2 messages were erased')
    for (const reply of await Promise.all(waiting)) {
      expect([reply.status, reply.body.code]).toEqual([410, 'history_deleted'])
    }
    await expect.poll(() => upstream.journal[1]?.closedEarly).toBe(true)
    expect((await client.history('민수')).body).toEqual([])
    await client.query('민수', 'after')
    expect(upstream.journal.at(-1)?.messages).toEqual([{ role: 'user', content: 'after' }])
    expect(upstream.journal).toHaveLength(3)
  })

  it('promise 11: its model may be changed: the next message goes to the new one', async () => {
    const upstream = await startTranscriptUpstream()
    const client = clientOf((await startServer({ env: { OPENAI_BASE_URL: upstream.baseUrl } })).url)
    upstream.faults.push({ delay: 300 })
    const running = client.query('민수', 'running')
    await upstream.arrived(1)
    await client.setModel('민수', 'other')
    expect((await running).body.model).toBe('transcript')
    expect((await client.query('민수', 'next')).body.model).toBe('other')
  })

  it('promise 6: 64 more may wait, and the 65th is told to come again', async () => {
    const upstream = await startTranscriptUpstream()
    const client = clientOf((await startServer({ env: { OPENAI_BASE_URL: upstream.baseUrl } })).url)
    upstream.faults.push({ delay: 1_500 })
    const first = client.query('민수', 'first')
    await upstream.arrived(1)
    const replies = await Promise.all(Array.from({ length: 65 }, (_, n) => client.query('민수', `${n}`)))
    const busy = replies.filter(({ status }) => status === 409)
    expect(busy).toHaveLength(1)
    expect(busy[0]?.body.code).toBe('conversation_busy')
    expect(busy[0]?.headers.get('retry-after')).toBe('5')
    expect((await first).status).toBe(200)
    expect((await client.history('민수')).body).toHaveLength(130)
  })
})
