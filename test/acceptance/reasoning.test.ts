import { expect, it } from 'vitest'
import { clientOf } from '../support/client.ts'
import { readEvents } from '../support/events.ts'
import { startServer } from '../support/start-server.ts'
import { startTranscriptUpstream } from '../support/transcript-upstream.ts'

const chunk = (delta: object, reason: string | null = null) =>
  JSON.stringify({ model: 'r1', choices: [{ index: 0, delta, finish_reason: reason }] })

/** An answer before which the model thinks aloud, as DeepSeek and vLLM send it. */
const thinking = [
  chunk({ reasoning_content: '생각 ' }),
  chunk({ reasoning_content: 'first 😀.' }),
  chunk({ content: 'It is ' }),
  chunk({ content: 'four.' }),
  chunk({}, 'stop'),
  '[DONE]',
]

async function start() {
  const upstream = await startTranscriptUpstream()
  const server = await startServer({ env: { OPENAI_BASE_URL: upstream.baseUrl } })
  return { upstream, server, client: clientOf(server.url) }
}

const thought = {
  type: 'reasoning',
  summary: [],
  content: [{ type: 'reasoning_text', text: '생각 first 😀.' }],
}

it('is kept apart from the answer, and goes into no context', async () => {
  const { upstream, client } = await start()
  upstream.faults.push({ data: thinking })
  const { body } = await client.query('a', 'two and two?')
  expect(body.response).toBe('It is four.')
  expect((await client.history('a')).body.map(({ content }: { content: string }) => content)).toEqual([
    'two and two?',
    'It is four.',
  ])
  const turn = (await client.send('GET', `/turns/${body.turn_id}`)).body
  expect(turn.output).toMatchObject([thought, { type: 'message', content: [{ text: 'It is four.' }] }])
  await client.query('a', 'and then?')
  expect(JSON.stringify(upstream.journal.at(-1)?.messages)).not.toContain('first')
  expect((await client.clear('a')).body.message).toContain('4 messages')
})

it('is told in the events before the answer, with the same numbers while it runs and after', async () => {
  const { upstream, server, client } = await start()
  upstream.faults.push({ data: thinking, pause: 20 })
  const { id } = (await client.query('a', 'two and two?', { background: true })).body
  const live = (await readEvents(`${server.url}/turns/${id}/events`)).events.map(({ data }) => data)
  const later = (await readEvents(`${server.url}/turns/${id}/events`)).events.map(({ data }) => data)
  expect(later).toEqual(live)
  expect(live.map(({ type }) => type).slice(2, 8)).toEqual([
    'response.output_item.added',
    'response.output_item.done',
    'response.output_item.added',
    'response.content_part.added',
    'response.output_text.delta',
    'response.output_text.delta',
  ])
  expect(live[3]).toMatchObject({ output_index: 0, item: thought })
  expect(live[6]).toMatchObject({ output_index: 1, delta: 'It is ' })
})

it('keeps its numbers also when the turn fails after it', async () => {
  const { upstream, server, client } = await start()
  upstream.faults.push({ data: thinking, cutAfter: 3, pause: 20 })
  const { id } = (await client.query('a', 'two and two?', { background: true })).body
  const live = (await readEvents(`${server.url}/turns/${id}/events`)).events.map(({ data }) => data)
  const later = (await readEvents(`${server.url}/turns/${id}/events`)).events.map(({ data }) => data)
  expect(later).toEqual(live)
  expect(live.at(-1)).toMatchObject({
    type: 'response.failed',
    response: { output: [thought, { status: 'incomplete' }] },
  })
})

it('that never ends is cut like an answer', async () => {
  const { upstream, client } = await start()
  const much = chunk({ reasoning_content: 'x'.repeat(1_000_000) })
  upstream.faults.push({
    data: [...Array.from({ length: 10 }, () => much), chunk({ content: 'late' }, 'stop')],
  })
  expect((await client.query('a', 'hi')).body).toMatchObject({ response: '', incomplete: 'max_output_bytes' })
  upstream.faults.push({ data: [chunk({ content: 'ok' }), chunk({}, 'stop')] })
  await client.query('a', 'again')
  expect(upstream.journal.at(-1)?.messages).toEqual([
    { role: 'user', content: 'hi' },
    { role: 'assistant', content: '(no answer)' },
    { role: 'user', content: 'again' },
  ])
})
