import { setTimeout as wait } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { clientOf } from '../support/client.ts'
import { startLongConversation } from '../support/long-conversation.ts'
import { startServer } from '../support/start-server.ts'
import { startTranscriptUpstream } from '../support/transcript-upstream.ts'

const line = (n: number): string => `turn ${n}: ${'words that fill the window '.repeat(3)}`

describe('a summary', () => {
  it('that does not end is cut off as soon as it is far too long, and is none', async () => {
    const { summaries, client } = await startLongConversation()
    for (let n = 1; n <= 4; n++) await client.query('a', line(n))
    summaries.faults.push({ say: `${'blah '.repeat(20_000)}`, repeat: 200 })
    const reply = await client.send('POST', '/clients/a/compact', {})
    expect(reply).toMatchObject({ status: 502, body: { code: 'upstream_bad_response' } })
    await expect.poll(() => summaries.journal.at(-1)?.closedEarly).toBe(true)
  })

  it('that was cut by its model is none', async () => {
    const { summaries, client } = await startLongConversation()
    for (let n = 1; n <= 4; n++) await client.query('a', line(n))
    summaries.faults.push({ say: 'The code is 12', finishReason: 'length' })
    expect((await client.send('POST', '/clients/a/compact', {})).body.code).toBe('upstream_bad_response')
    expect((await client.send('GET', '/clients/a')).body.summarised_turns).toBe(0)
  })

  it('that takes too long is not waited for: the turn goes on without the older ones', async () => {
    const { chat, summaries, client } = await startLongConversation({
      window: 1_024,
      env: { DAEHWA_TURN_TIMEOUT_MS: '4000' },
    })
    summaries.faults.push({ stallAfter: 0 })
    const times: number[] = []
    for (let n = 1; n <= 25; n++) {
      const begin = performance.now()
      const reply = await client.query('a', line(n))
      times.push(performance.now() - begin)
      expect(reply.status, reply.text).toBe(200)
    }
    expect(Math.max(...times)).toBeLessThan(2_000)
    expect(times.filter((time) => time > 800).length).toBeLessThanOrEqual(1) // nobody waits a second time
    expect(chat.journal).toHaveLength(25)
  })

  it('that is too large for the model which is chosen later is made shorter, and is not forgotten', async () => {
    const { chat, summaries, client } = await startLongConversation({ window: 1_024 })
    await client.send('PATCH', '/clients/a', { model: 'summaries/transcript' })
    for (let n = 1; n <= 30; n++) await client.query('a', line(n))
    summaries.say = () => `turns 1 to 28 ${'and so on '.repeat(700)}`
    expect((await client.send('POST', '/clients/a/compact', {})).body.summary.turns).toBe(28)
    summaries.say = () => 'turns 1 to 28, in short'
    await client.send('PATCH', '/clients/a', { model: 'chat/transcript' })
    expect((await client.send('GET', '/clients/a/context')).body.left_out).toMatchObject({ turns: 28 })
    await client.query('a', 'and now?')
    expect(chat.journal.at(-1)?.messages[0]?.content).toContain('turns 1 to 28, in short')
    expect((await client.send('GET', '/clients/a/context')).body.left_out).toBeNull()
  })

  it('is not made for the sake of one long message', async () => {
    const { chat, summaries, client } = await startLongConversation({ window: 4_096 })
    for (let n = 1; n <= 12; n++) await client.query('a', line(n))
    await wait(100)
    expect(summaries.journal).toHaveLength(0)
    expect((await client.query('a', 'long '.repeat(2_700))).status).toBe(200)
    expect(chat.journal.at(-1)?.messages.length).toBeLessThan(20)
    await wait(200)
    const asked = summaries.journal.length
    expect(asked).toBeLessThanOrEqual(1) // with the long message in it the window is full, and then it is time
    await client.send('PATCH', '/clients/a', { compaction: 'off' })
  })

  it('is the one that was asked for, also while another one is being made', async () => {
    const { summaries, client } = await startLongConversation()
    for (let n = 1; n <= 6; n++) await client.query('a', line(n))
    summaries.faults.push({ delay: 300 })
    const [first, second] = await Promise.all([
      client.send('POST', '/clients/a/compact', { keep_turns: 4 }),
      wait(100).then(() => client.send('POST', '/clients/a/compact', { keep_turns: 0 })),
    ])
    expect(first.body.summary.turns).toBe(2)
    expect(second.body.summary.turns).toBe(6)
  })

  it('of a new history has nothing to do with the one that was cleared', async () => {
    const { summaries, client } = await startLongConversation()
    for (let n = 1; n <= 6; n++) await client.query('a', line(n))
    summaries.faults.push({ stallAfter: 0 })
    const old = client.send('POST', '/clients/a/compact', {})
    await summaries.arrived(1)
    await client.clear('a')
    for (let n = 1; n <= 4; n++) await client.query('a', line(n))
    expect((await client.send('POST', '/clients/a/compact', {})).body.summary.turns).toBe(2)
    expect((await old).status).toBe(410)
  })
})

describe('what is pinned', () => {
  it('and fills the window makes no summary that gains nothing', async () => {
    const { summaries, client } = await startLongConversation({ window: 2_048 })
    for (let n = 1; n <= 3; n++) await client.query('a', `turn ${n}: ${'pinned '.repeat(400)}`)
    for (const { id, role } of (await client.history('a')).body) {
      if (role === 'user') await client.send('POST', `/clients/a/items/${id}/pin`)
    }
    await client.send('POST', '/clients/a/compact', { keep_turns: 0 })
    const asked = summaries.journal.length
    for (let n = 4; n <= 14; n++) expect((await client.query('a', line(n))).status).toBe(200)
    expect(summaries.journal.length - asked).toBeLessThanOrEqual(2)
  })

  it('is at most a hundred messages', async () => {
    const { client } = await startLongConversation({ window: 100_000 })
    for (let n = 1; n <= 51; n++) await client.query('a', `turn ${n}`)
    const history = (await client.history('a')).body
    const replies = []
    for (const { id } of history) replies.push(await client.send('POST', `/clients/a/items/${id}/pin`))
    expect(replies.slice(0, 100).every(({ status }) => status === 200)).toBe(true)
    expect(replies[100]).toMatchObject({ status: 400, body: { code: 'invalid_request' } })
    await client.send('DELETE', `/clients/a/items/${history[0].id}/pin`)
    expect((await client.send('POST', `/clients/a/items/${history[100].id}/pin`)).status).toBe(200)
  })
})

describe('the window of a model', () => {
  const tooLong = { status: 400, body: '{"error":{"code":"context_length_exceeded","message":"too long"}}' }

  it('is no smaller for others because one of them asked for too long an answer', async () => {
    const upstream = await startTranscriptUpstream()
    const client = clientOf((await startServer({ env: { OPENAI_BASE_URL: upstream.baseUrl } })).url)
    await client.send('PATCH', '/defaults', { compaction: 'off' })
    for (let n = 1; n <= 20; n++) await client.query('mallory', line(n))
    upstream.faults.push(tooLong, tooLong, tooLong)
    await client.query('mallory', 'hi', { max_output_tokens: 8_100 })
    expect(upstream.journal.at(-1)?.body['max_tokens']).toBe(7_168)
    expect((await client.send('GET', '/clients/mallory/context')).body.window).toBe(8_192)
    expect((await client.query('bob', 'word '.repeat(5_500))).status).toBe(200)
  })

  it('is as it was for a message that fits it, whatever an upstream reported before', async () => {
    const upstream = await startTranscriptUpstream()
    const client = clientOf((await startServer({ env: { OPENAI_BASE_URL: upstream.baseUrl } })).url)
    await client.send('PATCH', '/defaults', { compaction: 'off' })
    const usage = { prompt_tokens: 400_000, completion_tokens: 1, total_tokens: 400_001 }
    const data = [
      JSON.stringify({
        model: 'm',
        choices: [{ index: 0, delta: { content: 'ok' }, finish_reason: 'stop' }],
        usage,
      }),
    ]
    for (let n = 1; n <= 5; n++) {
      upstream.faults.push({ data })
      await client.query('odd', '가나다 라마바 '.repeat(500))
    }
    expect((await client.query('bob', 'word '.repeat(5_500))).status).toBe(200)
  })
})
