import { execFileSync } from 'node:child_process'
import { setTimeout as wait } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { clientOf } from '../support/client.ts'
import { material, startLongConversation, turnsIn } from '../support/long-conversation.ts'

const line = (n: number): string => `turn ${n}: ${'words that fill the window '.repeat(3)}`

type Client = ReturnType<typeof clientOf>

/** Asks until the summarising upstream is asked, and answers how many turns that took. */
async function untilSummarised(
  client: Client,
  summaries: { journal: unknown[] },
  name = 'a',
): Promise<number> {
  for (let n = 1; n < 100; n++) {
    expect((await client.query(name, line(n))).status).toBe(200)
    await wait(20)
    if (summaries.journal.length > 0) return n
  }
  throw new Error('nobody asked for a summary')
}

const summaryOf = async (client: Client, name = 'a') => {
  const { body } = await client.send('GET', `/clients/${name}/context`)
  return body.items.find(({ origin }: { origin: string }) => origin === 'summary')
}

describe('a compaction', () => {
  it('that a kill cut short is made once, after the restart, and the history is whole', async () => {
    const { summaries, client, server, again } = await startLongConversation({ window: 1_024 })
    summaries.faults.push({ stallAfter: 0 })
    const n = await untilSummarised(client, summaries)
    await server.end('SIGKILL')
    const restarted = clientOf((await again()).url)
    expect(await summaryOf(restarted)).toBeUndefined()
    for (let more = 1; more <= 6; more++) await restarted.query('a', line(n + more))
    await expect.poll(async () => (await summaryOf(restarted))?.message.content).toMatch(/turns 1 to \d+/)
    const read = summaries.journal.slice(1).flatMap(({ messages }) => turnsIn(material(messages).turns))
    expect(read).toEqual(Array.from({ length: read.length }, (_, i) => i + 1))
    const { body } = await restarted.history('a')
    expect(body.filter(({ role }: { role: string }) => role === 'user')).toHaveLength(n + 6)
  })

  it('of a history that is cleared meanwhile is dropped, and its words are nowhere', async () => {
    const { chat, summaries, client, dataDir } = await startLongConversation({ window: 1_024 })
    const secret = 'canary-93b1'
    summaries.say = () => `turns of ${secret}`
    await untilSummarised(client, summaries)
    await expect.poll(() => summaryOf(client)).toBeDefined()
    summaries.faults.push({ delay: 500, say: `late ${secret}` })
    const asked = summaries.journal.length
    for (let n = 100; summaries.journal.length === asked; n++) await client.query('a', line(n))
    expect((await client.clear('a')).status).toBe(200)
    await wait(700)
    await client.query('a', 'a new beginning')
    expect(chat.journal.at(-1)?.messages.map(({ content }) => content)).toEqual(['a new beginning'])
    expect(await summaryOf(client)).toBeUndefined()
    expect((await client.send('GET', '/clients/a')).body).toMatchObject({ turns: 1, summarised_turns: 0 })
    const found = execFileSync('bash', ['-c', `grep -c -a ${secret} ${dataDir}/daehwa.db* || true`], {
      encoding: 'utf8',
    })
    expect(found.match(/:\d+/g)).toEqual(found.match(/:0/g))
  })

  it('outlasts a change of the model, which is sent the same summary', async () => {
    const { chat, summaries, client } = await startLongConversation({ window: 1_024 })
    summaries.faults.push({ delay: 300 })
    await untilSummarised(client, summaries)
    expect((await client.setModel('a', 'chat/other')).status).toBe(200)
    await expect.poll(() => summaryOf(client)).toBeDefined()
    await client.query('a', 'and now')
    expect(chat.journal.at(-1)).toMatchObject({ model: 'other' })
    expect(chat.journal.at(-1)?.messages[0]?.content).toMatch(/turns 1 to \d+/)
  })

  it('that fails leaves the older turns out, which can be seen, and is not tried at every turn', async () => {
    const { chat, summaries, client, server } = await startLongConversation({ window: 1_024 })
    summaries.faults.push(...Array.from({ length: 50 }, () => ({ status: 400 })))
    for (let n = 1; n <= 30; n++) expect((await client.query('a', line(n))).status).toBe(200)
    expect(summaries.journal.length).toBe(1)
    const { body } = await client.send('GET', '/clients/a/context')
    expect(body.left_out).toMatchObject({
      turns: expect.any(Number),
      reason: expect.stringContaining('no room'),
    })
    expect(body.left_out.turns + body.items.length / 2).toBe(30)
    expect((await client.send('GET', '/clients/a')).body.compaction_error).toBe('upstream_error')
    await expect.poll(server.output).toContain('older turns could not be summarised')
    expect(chat.journal.at(-1)?.messages.at(-2)?.role).toBe('assistant')
    expect((await client.history('a')).body).toHaveLength(60)
    summaries.faults.length = 0
    const now = await client.send('POST', '/clients/a/compact', {})
    expect(now.body.summary).toMatchObject({
      turns: 28,
      text: 'turns 1 to 28',
      model: 'summaries/transcript',
    })
    expect((await client.send('GET', '/clients/a')).body).not.toHaveProperty('compaction_error')
    expect((await client.send('GET', '/clients/a/context')).body.left_out).toBeNull()
  })

  it.each([
    ['empty', ''],
    ['far too long', 'blah blah '.repeat(2_000)],
  ])('that is %s is no compaction', async (_, say) => {
    const { summaries, client } = await startLongConversation({ window: 1_024 })
    summaries.say = () => say
    for (let n = 1; n <= 30; n++) await client.query('a', line(n))
    expect(await summaryOf(client)).toBeUndefined()
    expect((await client.send('GET', '/clients/a')).body.compaction_error).toBe('upstream_bad_response')
  })

  it('is refused in words when it cannot be made now, and of nothing is nothing', async () => {
    const { summaries, client } = await startLongConversation()
    expect((await client.send('POST', '/clients/nobody/compact', {})).status).toBe(404)
    for (let n = 1; n <= 4; n++) await client.query('a', line(n))
    summaries.faults.push({ status: 401 })
    expect(await client.send('POST', '/clients/a/compact', {})).toMatchObject({
      status: 502,
      body: { code: 'upstream_auth' },
    })
    expect((await client.send('POST', '/clients/a/compact', { keep_turns: 9 })).body).toEqual({
      summary: null,
    })
    expect((await client.send('POST', '/clients/a/compact', { keep_turns: 0 })).body.summary).toMatchObject({
      turns: 4,
    })
    expect((await client.send('POST', '/clients/a/compact', { keep_turns: -1 })).status).toBe(400)
    const again = await client.send('POST', '/clients/a/compact', { keep_turns: 0 })
    expect(again.body.summary).toMatchObject({ turns: 4 })
    expect(summaries.journal).toHaveLength(2)
  })

  it('takes in, in steps, what is more than the summarising model can read at once', async () => {
    const { summaries, client } = await startLongConversation({ window: 200_000 })
    await client.send('PATCH', '/clients/a', { summary_model: 'chat/transcript', compaction: 'off' })
    for (let n = 1; n <= 60; n++) await client.query('a', line(n))
    await client.send('PATCH', '/clients/a', { summary_model: 'summaries/transcript' })
    await client.query('a', `turn 61: ${'long '.repeat(60_000)}`)
    const { body } = await client.send('POST', '/clients/a/compact', { keep_turns: 0 })
    expect(body.summary).toMatchObject({ turns: 61, text: 'turns 1 to 61' })
    expect(summaries.journal.length).toBeGreaterThan(1)
    expect(material(summaries.journal.at(-1)?.messages ?? []).turns).toContain('[…]')
  })
})

describe('GET /clients/{name}/context', () => {
  it('shows byte for byte what the next turn sends, with summary, pins and instructions', async () => {
    const { chat, client } = await startLongConversation({ window: 2_048 })
    await client.send('PATCH', '/clients/a', { instructions: 'Answer in Korean. 한국어로.' })
    await client.query('a', 'turn 1: my name is 민수 and "quotes" \n are kept 😀')
    const [first] = (await client.history('a')).body
    expect((await client.send('POST', `/clients/a/items/${first.id}/pin`)).body).toEqual({
      id: first.id,
      pinned: true,
    })
    for (let n = 2; n <= 40; n++) await client.query('a', line(n))
    await expect.poll(async () => (await summaryOf(client))?.covers.turns).toBeGreaterThan(10)
    await wait(200)
    const { body } = await client.send('GET', '/clients/a/context')
    await client.query('a', 'next')
    const sent = chat.journal.at(-1)?.messages ?? []
    expect(JSON.stringify(body.items.map(({ message }: { message: object }) => message))).toBe(
      JSON.stringify(sent.slice(0, -1)),
    )
    expect(body.items.slice(0, 3).map(({ origin }: { origin: string }) => origin)).toEqual([
      'instructions',
      'pinned',
      'summary',
    ])
    expect(body.items[1]).toMatchObject({
      id: first.id,
      turn_id: first.turn_id,
      message: { content: first.content },
    })
    expect(body.items[2].covers).toMatchObject({ first: first.turn_id })
    expect(body.tokens + body.room + body.reserved_for_answer + 3).toBe(body.window)
    expect(body.left_out).toBeNull()
  })

  it('is empty for a client that has said nothing, and 400 for a name that cannot be', async () => {
    const { client } = await startLongConversation()
    expect((await client.send('GET', '/clients/nobody/context')).body).toMatchObject({
      items: [],
      tokens: 0,
      left_out: null,
    })
    expect((await client.send('GET', '/clients/%00/context')).status).toBe(400)
  })
})
