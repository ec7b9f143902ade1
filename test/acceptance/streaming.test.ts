import { setTimeout as wait } from 'node:timers/promises'
import { beforeEach, describe, expect, it } from 'vitest'
import { clientOf } from '../support/client.ts'
import { readEvents, type StreamEvent, textOf } from '../support/events.ts'
import { type RunningServer, startServer } from '../support/start-server.ts'
import { startTranscriptUpstream, type TranscriptUpstream } from '../support/transcript-upstream.ts'

let server: RunningServer
let upstream: TranscriptUpstream
let client: ReturnType<typeof clientOf>

beforeEach(async () => {
  upstream = await startTranscriptUpstream()
  server = await startServer({ env: { OPENAI_BASE_URL: upstream.baseUrl } })
  client = clientOf(server.url)
})

const query = (body: object, headers: Record<string, string> = {}): RequestInit => ({
  method: 'POST',
  headers: { 'content-type': 'application/json', ...headers },
  body: JSON.stringify({ client_name: '민수', input: 'hi', ...body }),
})

const types = (events: readonly StreamEvent[]) => events.map(({ data }) => data.type.replace('response.', ''))
const say = '안녕하세요 👩‍👩‍👧 세계 여러분 모두 반갑습니다'

/** The id of the newest turn of a client that was begun in the background. */
async function inBackground(more: object = {}): Promise<string> {
  const reply = await client.query('민수', 'hi', { background: true, ...more })
  expect(reply.status, reply.text).toBe(202)
  expect(reply.headers.get('location')).toBe(`/turns/${reply.body.id}`)
  return reply.body.id
}

describe('a stream of events', () => {
  it.each([
    ['stream: true', { stream: true }, {}],
    ['Accept', {}, { accept: 'text/event-stream' }],
  ])('is asked for with %s, and tells the turn from its beginning to its end', async (_, body, headers) => {
    upstream.faults.push({ say })
    const { events, done } = await readEvents(`${server.url}/query`, query(body, headers))
    expect(done).toBe(true)
    expect(events.map(({ id }) => id)).toEqual(events.map((_event, n) => n))
    expect(events.every(({ id, event, data }) => data.sequence_number === id && data.type === event)).toBe(
      true,
    )
    const deltas = say.split(' ').map(() => 'output_text.delta')
    expect(types(events)).toEqual([
      ...['created', 'in_progress', 'output_item.added', 'content_part.added', ...deltas],
      ...['output_text.done', 'content_part.done', 'output_item.done', 'completed'],
    ])
    expect(textOf(events)).toBe(say)
    expect((await client.history('민수')).body[1].content).toBe(say)
    expect(events.at(-1)?.data).toMatchObject({
      response: { status: 'completed', output: [{ content: [{ text: say }] }], usage: { input_tokens: 1 } },
    })
  })

  it('says with an event what fails after it has begun, and with a status what fails before', async () => {
    upstream.faults.push({ cutAfter: 2 })
    const { events, done } = await readEvents(`${server.url}/query`, query({ stream: true }))
    expect(done).toBe(true)
    expect(events.at(-1)?.data).toMatchObject({
      type: 'response.failed',
      response: { status: 'failed', error: { code: 'upstream_bad_response' } },
    })
    const bad = await client.query('', 'hi', { stream: true })
    expect(bad.status).toBe(400)
  })

  it('begins at once, though there is nothing new to tell', async () => {
    upstream.faults.push({ stallAfter: 0 })
    const id = await inBackground()
    await upstream.arrived(1)
    for (const method of ['GET', 'HEAD']) {
      const begin = performance.now()
      const hangUp = new AbortController()
      const reply = await fetch(`${server.url}/turns/${id}/events?after=1`, { method, signal: hangUp.signal })
      expect([reply.status, reply.headers.get('content-type')]).toEqual([
        200,
        'text/event-stream; charset=utf-8',
      ])
      expect(performance.now() - begin).toBeLessThan(1_000)
      hangUp.abort()
    }
  })

  it('keeps an idle connection open with comments', async () => {
    upstream.faults.push({ say: 'late', delay: 16_000 })
    const reply = await fetch(`${server.url}/query`, query({ stream: true }))
    expect(await reply.text()).toContain('\n\n:\n\nid: 2\n')
  }, 30_000)

  it.each([[{ say, byteByByte: true }], [{ say, whole: true }]])(
    'has every character whole with %j',
    async (fault) => {
      upstream.faults.push(fault)
      const { events } = await readEvents(`${server.url}/query`, query({ stream: true }))
      expect(textOf(events)).toBe(say)
    },
  )
})

describe('the bare text', () => {
  it('comes as it is said', async () => {
    upstream.faults.push({ say, pause: 100 })
    const reply = await fetch(`${server.url}/query`, query({}, { accept: 'text/plain' }))
    expect(reply.headers.get('content-type')).toBe('text/plain; charset=utf-8')
    const pieces: string[] = []
    for await (const text of (reply.body as ReadableStream<Uint8Array>).pipeThrough(
      new TextDecoderStream(),
    )) {
      pieces.push(text)
    }
    expect(pieces.join('')).toBe(say)
    expect(pieces.length).toBeGreaterThan(3)
  })

  it('has a status when it fails before its first word, and is cut off when it fails after', async () => {
    upstream.faults.push({ status: 401 }, { cutAfter: 2 })
    const before = await fetch(`${server.url}/query`, query({}, { accept: 'text/plain' }))
    expect([before.status, ((await before.json()) as { code: string }).code]).toEqual([502, 'upstream_auth'])
    const after = await fetch(`${server.url}/query`, query({}, { accept: 'text/plain' }))
    expect(after.status).toBe(200)
    await expect(after.text()).rejects.toThrow()
  })
})

describe('a turn', () => {
  it('is read, followed and followed again, during and after, with the same events', async () => {
    upstream.faults.push({ say, pause: 50 })
    const id = await inBackground()
    expect((await client.send('GET', `/turns/${id}`)).body).toMatchObject({ id, status: 'in_progress' })
    const url = `${server.url}/turns/${id}/events`
    const live = await Promise.all(Array.from({ length: 10 }, () => readEvents(url)))
    const later = await readEvents(url)
    for (const { events, done } of live) {
      expect(done).toBe(true)
      expect(events).toEqual(later.events)
    }
    expect((await client.send('GET', `/turns/${id}`)).body).toMatchObject({
      status: 'completed',
      output: [{ content: [{ text: say }] }],
    })
  })

  it('is taken up where a follower left it, with Last-Event-ID or after', async () => {
    upstream.faults.push({ say, pause: 50 })
    const id = await inBackground()
    const url = `${server.url}/turns/${id}/events`
    const whole = readEvents(url)
    for (let at = 1; at < 8; at++) {
      const { events } = await readEvents(url, {}, at)
      const rest = await readEvents(url, { headers: { 'last-event-id': String(at - 1) } })
      expect([...events, ...rest.events]).toEqual((await whole).events)
      expect((await readEvents(`${url}?after=${at - 1}`)).events).toEqual(rest.events)
    }
    expect(await readEvents(`${url}?after=999`)).toEqual({ events: [], done: true })
    expect((await client.send('GET', `/turns/${id}/events?after=x`)).status).toBe(400)
  })

  it('that is not there is a 404 on every route', async () => {
    for (const [method, path] of [
      ['GET', ''],
      ['GET', '/events'],
      ['POST', '/cancel'],
    ] as const) {
      const reply = await client.send(method, `/turns/resp_none${path}`)
      expect([reply.status, reply.body.code]).toEqual([404, 'not_found'])
    }
  })

  it('answers 202 when it takes longer than its sender would wait, and goes on', async () => {
    upstream.faults.push({ delay: 4_000 })
    const slow = clientOf(server.url, { prefer: 'respond-async, wait=1' })
    const begin = performance.now()
    const reply = await slow.query('민수', 'hi')
    expect([reply.status, reply.body.status]).toEqual([202, 'in_progress'])
    expect(performance.now() - begin).toBeLessThan(3_500)
    await expect.poll(async () => (await client.history('민수')).body.length, { timeout: 8_000 }).toBe(2)
    expect((await slow.query('민수', 'fast')).status).toBe(200)
  })
})

describe('cancelling', () => {
  const cancel = (id: string) => client.send('POST', `/turns/${id}/cancel`)

  it.each([
    ['before the first token', { stallAfter: 0 }, ''],
    ['in mid-stream', { say: 'one two three', stallAfter: 2 }, 'one two '],
  ])(
    '%s stops the upstream, keeps what was said with the turn, and nothing in the history',
    async (_, fault, said) => {
      upstream.faults.push(fault)
      const id = await inBackground()
      await upstream.arrived(1)
      await wait(100)
      for (let times = 0; times < 2; times++) {
        const reply = await cancel(id)
        expect([reply.status, reply.body.status, reply.body.error.code]).toEqual([
          200,
          'cancelled',
          'turn_cancelled',
        ])
        expect(reply.body.output[0]?.content[0].text ?? '').toBe(said)
      }
      await expect.poll(() => upstream.journal[0]?.closedEarly, { timeout: 1_000 }).toBe(true)
      expect((await client.history('민수')).body).toEqual([])
      expect(types((await readEvents(`${server.url}/turns/${id}/events`)).events).at(-1)).toBe('failed')
      expect((await client.query('민수', 'next')).status).toBe(200)
    },
  )

  it('works while the turn waits, and tells the one who waits for it', async () => {
    upstream.faults.push({ delay: 700 })
    const running = client.query('민수', 'running')
    await upstream.arrived(1)
    const waiting = await inBackground()
    const asked = client.query('민수', 'asked', { stream: true }).catch(() => undefined)
    expect((await cancel(waiting)).body).toMatchObject({ status: 'cancelled', output: [] })
    expect((await running).status).toBe(200)
    await asked
    expect(upstream.journal.map(({ messages }) => messages.at(-1)?.content)).toEqual(['running', 'asked'])
  })

  it('leaves alone what has ended', async () => {
    const id = (await client.query('민수', 'hi')).body.turn_id
    expect((await cancel(id)).body).toMatchObject({ status: 'completed' })
    expect((await client.history('민수')).body).toHaveLength(2)
  })

  it('happens by itself when the one with on_disconnect: cancel hangs up', async () => {
    upstream.faults.push({ stallAfter: 1 })
    const hangUp = new AbortController()
    const lost = fetch(`${server.url}/query`, {
      ...query({ on_disconnect: 'cancel' }),
      signal: hangUp.signal,
    })
    lost.catch(() => {})
    await upstream.arrived(1)
    hangUp.abort()
    await expect.poll(() => upstream.journal[0]?.closedEarly, { timeout: 1_000 }).toBe(true)
    expect((await client.query('민수', 'next')).status).toBe(200)
    expect((await client.history('민수')).body).toHaveLength(2)
  })
})

describe('another message meanwhile', () => {
  it('is refused at once with reject', async () => {
    upstream.faults.push({ delay: 500 })
    const running = client.query('민수', 'running')
    await upstream.arrived(1)
    const reply = await client.query('민수', 'hi', { multitask_strategy: 'reject' })
    expect([reply.status, reply.body.code, reply.headers.get('retry-after')]).toEqual([
      409,
      'conversation_busy',
      '5',
    ])
    expect((await running).status).toBe(200)
    expect((await client.query('민수', 'hi', { multitask_strategy: 'reject' })).status).toBe(200)
  })

  it('comes next with interrupt, and the running one is cancelled', async () => {
    upstream.faults.push({ stallAfter: 1 })
    const running = client.query('민수', 'running')
    await upstream.arrived(1)
    const waiting = client.query('민수', 'waiting')
    await wait(100)
    const urgent = await client.query('민수', 'urgent', { multitask_strategy: 'interrupt' })
    expect(urgent.status).toBe(200)
    expect([(await running).status, (await running).body.code]).toEqual([409, 'turn_cancelled'])
    expect((await waiting).status).toBe(200)
    const said = (await client.history('민수')).body.map(({ content }: { content: string }) => content)
    expect([said[0], said[2]]).toEqual(['urgent', 'waiting'])
  })

  it.each([[{ multitask_strategy: 'wait' }], [{ on_disconnect: 'stop' }], [{ stream: 'yes' }]])(
    '%j is refused with a sentence',
    async (more) => {
      const reply = await client.query('민수', 'hi', more)
      expect([reply.status, reply.body.error]).toEqual([
        400,
        expect.stringContaining(`'${Object.keys(more)[0]}'`),
      ])
    },
  )
})
