import { LLMock } from '@copilotkit/aimock'
import { describe, expect, it, onTestFinished } from 'vitest'
import { clientOf } from '../support/client.ts'
import { startServer } from '../support/start-server.ts'
import { startTranscriptUpstream, transcript } from '../support/transcript-upstream.ts'

describe('what the model is sent', () => {
  it('is the whole conversation, at an upstream that others wrote', async () => {
    const mock = new LLMock({ port: 0 })
    mock.onMessage(/.*/, { content: '네, 알겠습니다. 😀' })
    await mock.start()
    onTestFinished(() => mock.stop())
    const env = {
      OPENAI_BASE_URL: `${mock.url}/v1`,
      OPENAI_API_KEY: 'sk-mock',
      DAEHWA_DEFAULT_MODEL: 'gpt-4o-mini',
    }
    const client = clientOf((await startServer({ env })).url)
    for (const input of ['내 이름은 민수야', '오늘은 비가 와', '내 이름이 뭐야?']) {
      const reply = await client.query('민수', input)
      expect(reply.body).toMatchObject({ response: '네, 알겠습니다. 😀' })
    }
    const requests = mock.getRequests().filter(({ path }) => path === '/v1/chat/completions')
    expect(requests).toHaveLength(3)
    const body = requests[2]?.body as { model: string; stream: boolean; messages: object[] }
    expect(body).toMatchObject({ model: 'gpt-4o-mini', stream: true })
    expect(body.messages).toEqual([
      { role: 'user', content: '내 이름은 민수야' },
      { role: 'assistant', content: '네, 알겠습니다. 😀' },
      { role: 'user', content: '오늘은 비가 와' },
      { role: 'assistant', content: '네, 알겠습니다. 😀' },
      { role: 'user', content: '내 이름이 뭐야?' },
    ])
  })

  it('promise 6: is what the history holds, in order, when fifty ask at once', async () => {
    const upstream = await startTranscriptUpstream()
    const client = clientOf((await startServer({ env: { OPENAI_BASE_URL: upstream.baseUrl } })).url)
    const replies = await Promise.all(
      Array.from({ length: 50 }, (_, n) => client.query('민수', `message ${n}`)),
    )
    expect(replies.map(({ status }) => status)).toEqual(Array(50).fill(200))
    const history = (await client.history('민수')).body as {
      role: string
      content: string
      turn_id: string
    }[]
    expect(history).toHaveLength(100)
    for (let turn = 0; turn < 50; turn++) {
      const { count, digest } = transcript(history.slice(0, turn * 2 + 1))
      expect(history[turn * 2 + 1]?.content).toContain(`count=${count} digest=${digest}`)
    }
    const told = new Map(replies.map(({ body }) => [body.turn_id, body.response]))
    for (const { role, content, turn_id } of history) {
      if (role === 'assistant') expect(told.get(turn_id)).toBe(content)
    }
  })

  it('is the newest turns that fit, when the history is longer than the window', async () => {
    const upstream = await startTranscriptUpstream()
    const env = { OPENAI_BASE_URL: upstream.baseUrl, DAEHWA_CONTEXT_WINDOW: '1024' }
    const client = clientOf((await startServer({ env })).url)
    await client.send('PATCH', '/defaults', { compaction: 'off' })
    for (let n = 0; n < 30; n++) {
      const reply = await client.query('민수', `message number ${n}, with some words to fill the window`)
      expect(reply.status, reply.text).toBe(200)
    }
    const last = upstream.journal.at(-1)?.messages ?? []
    const history = (await client.history('민수')).body as { role: string; content: string }[]
    expect(history).toHaveLength(60)
    expect(last.length).toBeGreaterThan(5)
    expect(last.length).toBeLessThan(30)
    expect(last.length % 2).toBe(1) // whole turns, and the input
    const sent = history.slice(60 - 1 - last.length, 60 - 1)
    expect(last).toEqual(sent.map(({ role, content }) => ({ role, content })))
  })

  it('has the instructions first, whatever is left out', async () => {
    const upstream = await startTranscriptUpstream()
    const env = { OPENAI_BASE_URL: upstream.baseUrl, DAEHWA_CONTEXT_WINDOW: '512' }
    const client = clientOf((await startServer({ env })).url)
    await client.send('PATCH', '/defaults', { compaction: 'off' })
    for (let n = 0; n < 15; n++)
      await client.query('민수', `message ${n}`, { instructions: 'Answer in Korean.' })
    const messages = upstream.journal.at(-1)?.messages ?? []
    expect(messages.length).toBeLessThan(20)
    expect(messages[0]).toEqual({ role: 'system', content: 'Answer in Korean.' })
    expect((await client.history('민수')).text).not.toContain('Answer in Korean')
  })

  it('is shortened when the upstream finds it too long all the same', async () => {
    const upstream = await startTranscriptUpstream()
    const client = clientOf((await startServer({ env: { OPENAI_BASE_URL: upstream.baseUrl } })).url)
    await client.send('PATCH', '/defaults', { compaction: 'off' })
    for (let n = 0; n < 10; n++) await client.query('민수', `message ${n}`)
    const tooLong = { status: 400, body: '{"error":{"code":"context_length_exceeded","message":"too long"}}' }
    upstream.faults.push(tooLong)
    expect((await client.query('민수', 'once')).status).toBe(200)
    expect(upstream.journal.slice(-2).map(({ messages }) => messages.length)).toEqual([21, 5])
    upstream.faults.push(tooLong, tooLong)
    expect((await client.query('민수', 'twice')).status).toBe(200)
    expect(upstream.journal.at(-1)?.messages.map(({ content }) => content)).toEqual(['twice'])
    upstream.faults.push(tooLong, tooLong, tooLong)
    expect((await client.query('민수', 'always')).body).toMatchObject({ code: 'context_length_exceeded' })
    expect((await client.history('민수')).body).toHaveLength(24)
  })

  it('is refused when the input alone does not fit, with both numbers', async () => {
    const upstream = await startTranscriptUpstream()
    const env = { OPENAI_BASE_URL: upstream.baseUrl, DAEHWA_CONTEXT_WINDOW: '512' }
    const client = clientOf((await startServer({ env })).url)
    await client.send('PATCH', '/defaults', { compaction: 'off' })
    const reply = await client.query('민수', 'word '.repeat(500))
    expect(reply.status).toBe(400)
    expect(reply.body.code).toBe('context_length_exceeded')
    expect(reply.body.error).toMatch(/needs 50\d tokens, and 'transcript' has room for 381\./)
    expect(upstream.journal).toEqual([])
    expect((await client.query('민수', 'short')).status).toBe(200)
  })

  it('goes to the model that the client chose, or the turn alone', async () => {
    const upstream = await startTranscriptUpstream()
    const client = clientOf((await startServer({ env: { OPENAI_BASE_URL: upstream.baseUrl } })).url)
    await client.query('민수', 'a')
    await client.setModel('민수', 'other')
    await client.query('민수', 'b')
    const reply = await client.query('민수', 'c', { model: 'transcript' })
    await client.query('지수', 'd')
    expect(upstream.journal.map(({ model }) => model)).toEqual([
      'transcript',
      'other',
      'transcript',
      'transcript',
    ])
    expect(reply.body.model).toBe('transcript')
    expect((await client.model('민수')).body).toEqual({ model: 'other' })
  })
})

describe('the model of a client', () => {
  it('must be one of the list, also of one that has just grown', async () => {
    const upstream = await startTranscriptUpstream()
    const client = clientOf((await startServer({ env: { OPENAI_BASE_URL: upstream.baseUrl } })).url)
    const refused = await client.setModel('민수', 'new')
    expect([refused.status, refused.body.code]).toEqual([400, 'model_not_found'])
    expect(refused.body.error).toContain("no model 'new'")
    expect((await client.model('민수')).body).toEqual({ model: 'transcript' })
    upstream.models?.push('new')
    await expect.poll(async () => (await client.setModel('민수', 'new')).status, { timeout: 8_000 }).toBe(200)
    expect((await client.model('민수')).body).toEqual({ model: 'new' })
  })

  it('may have any name where the upstream has no list, and the log says so', async () => {
    const upstream = await startTranscriptUpstream()
    upstream.models = undefined
    const server = await startServer({ env: { OPENAI_BASE_URL: upstream.baseUrl } })
    const client = clientOf(server.url)
    expect((await client.send('GET', '/models')).body).toEqual({ object: 'list', data: [] })
    expect((await client.query('민수', 'hi')).body).toMatchObject({ code: 'no_default_model' })
    expect((await client.setModel('민수', 'anything')).body).toEqual({ model: 'anything' })
    expect((await client.query('민수', 'hi')).status).toBe(200)
    expect(upstream.journal[0]?.model).toBe('anything')
    await expect.poll(server.output).toContain('no list of models: the name was accepted unchecked')
  })
})
