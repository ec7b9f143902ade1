import { countTokens } from 'gpt-tokenizer/encoding/o200k_base'
import { describe, expect, it } from 'vitest'
import { material, startLongConversation, turnsIn } from '../support/long-conversation.ts'
import type { Message } from '../support/transcript-upstream.ts'

const window = 4_096
const answerRoom = window / 4

const tokensOf = (messages: readonly Message[]): number =>
  messages.reduce((sum, { content }) => sum + countTokens(content) + 4, 3)

const words = ['seoul', 'bridge', 'coffee', '서울', '한강', '커피', 'tomorrow', '내일']

/** Something to say in turn `n`, of very different lengths. */
function line(n: number): string {
  const length = 5 + ((n * 37) % 60)
  return `turn ${n}: ${Array.from({ length }, (_, i) => words[(n * 7 + i * 3) % words.length]).join(' ')}`
}

/** Checks one request: instructions, at most one summary from the first turn on, and all the turns after it, whole. */
function check(messages: readonly Message[], n: number): void {
  expect(tokensOf(messages)).toBeLessThanOrEqual(window - answerRoom)
  expect(messages[0]).toEqual({ role: 'system', content: 'Answer briefly.' })
  const summary = messages[1]?.role === 'system' ? messages[1].content : undefined
  const covered = Number(/turns 1 to (\d+)/.exec(summary ?? '')?.[1] ?? 0)
  const rest = messages.slice(summary === undefined ? 1 : 2)
  const verbatim = rest.filter(({ role }) => role === 'user').map(({ content }) => content)
  expect(verbatim).toEqual(Array.from({ length: n - covered }, (_, i) => line(covered + 1 + i)))
  expect(rest.map(({ role }) => role)).toEqual(rest.map((_, i) => (i % 2 === 0 ? 'user' : 'assistant')))
  expect(messages.filter(({ role }) => role === 'system').length).toBe(summary === undefined ? 1 : 2)
}

describe('a conversation that is longer than its window', () => {
  it('sends, for 500 turns, a summary of the older turns and the newer ones whole, and never too much', async () => {
    const { chat, summaries, client, server } = await startLongConversation({ window })
    await client.send('PATCH', '/clients/a', { instructions: 'Answer briefly.' })
    for (let n = 1; n <= 500; n++) {
      const reply = await client.query('a', line(n))
      expect(reply.status, reply.text).toBe(200)
    }
    expect(chat.journal).toHaveLength(500)
    for (const [index, { messages }] of chat.journal.entries()) check(messages, index + 1)
    const waits = server.output().match(/a turn waits for a summary/g)?.length ?? 0
    process.stderr.write(`500 turns: ${summaries.journal.length} summaries, ${waits} turns waited for one\n`)
    expect(summaries.journal.length).toBeGreaterThan(10)
    expect(waits).toBe(0)
    // Each turn was read for a summary once.
    const read = summaries.journal.flatMap(({ messages }) => turnsIn(material(messages).turns))
    expect(read).toEqual(Array.from({ length: read.length }, (_, i) => i + 1))
    expect((await client.history('a')).body).toHaveLength(1_000)
  }, 120_000)

  it('waits for a summary only when turns would be left out without one', async () => {
    const { chat, summaries, client, server } = await startLongConversation({ window })
    await client.send('PATCH', '/clients/a', { instructions: 'Answer briefly.' })
    const slow = () => summaries.faults.push({ delay: 1_000 })
    for (let n = 0; n < 20; n++) slow()
    let waited = 0
    for (let n = 1; n <= 120; n++) {
      const before = server.output().match(/a turn waits for a summary/g)?.length ?? 0
      const begin = performance.now()
      expect((await client.query('a', line(n))).status).toBe(200)
      const after = server.output().match(/a turn waits for a summary/g)?.length ?? 0
      if (performance.now() - begin > 900) expect(after, `turn ${n} was slow`).toBeGreaterThan(before)
      waited += after - before
    }
    for (const [index, { messages }] of chat.journal.entries()) check(messages, index + 1)
    process.stderr.write(
      `120 turns with slow summaries: ${summaries.journal.length} summaries, ${waited} turns waited\n`,
    )
    expect(waited).toBeGreaterThan(0)
    expect(waited).toBeLessThanOrEqual(summaries.journal.length)
  }, 60_000)

  it('keeps facts of its first turns through ten summaries of summaries', async () => {
    const { summaries, chat, client } = await startLongConversation({ window: 1_024 })
    summaries.say = (messages) => {
      const { before, turns } = material(messages)
      return [...new Set(`${before} ${turns}`.match(/FACT-\d+/g))].join(' ')
    }
    for (let n = 1; summaries.journal.length < 10; n++) {
      const fact = n <= 3 ? `FACT-${n}. ` : ''
      expect((await client.query('a', `${fact}${line(n)}`)).status).toBe(200)
    }
    await client.query('a', 'what were the facts?')
    const { messages } = chat.journal.at(-1) ?? { messages: [] }
    expect(messages[0]?.role).toBe('system')
    for (const n of [1, 2, 3]) expect(messages[0]?.content).toContain(`FACT-${n}`)
    expect(messages.slice(1).some(({ content }) => content.includes('FACT'))).toBe(false)
  }, 60_000)
})
