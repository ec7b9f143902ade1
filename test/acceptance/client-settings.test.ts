import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { clientOf } from '../support/client.ts'
import { type RunningServer, startServer, temporaryDir } from '../support/start-server.ts'
import { startTranscriptUpstream, type TranscriptUpstream } from '../support/transcript-upstream.ts'

let server: RunningServer
let upstream: TranscriptUpstream
let client: ReturnType<typeof clientOf>
let options: { dataDir: string; env: Record<string, string> }

beforeEach(async () => {
  upstream = await startTranscriptUpstream()
  const env = { OPENAI_BASE_URL: upstream.baseUrl, DAEHWA_CONTEXT_WINDOW: '512' }
  options = { dataDir: temporaryDir(), env }
  server = await startServer(options)
  client = clientOf(server.url)
})

const at = (name: string, more = '') => `/clients/${encodeURIComponent(name)}${more}`
const patch = (name: string, body: object) => client.send('PATCH', at(name), body)
const defaults = (body: object) => client.send('PATCH', '/defaults', body)

/** What the upstream was sent last, without what every request has. */
function lastSent(): Record<string, unknown> {
  const { messages, stream: _, stream_options: __, ...rest } = upstream.journal.at(-1)?.body ?? {}
  const [first] = messages as { role: string; content: string }[]
  return { ...rest, ...(first?.role === 'system' && { instructions: first.content }) }
}

const generation = {
  ...{ temperature: 0.3, top_p: 0.9, max_output_tokens: 50, stop: ['END', '\n\n'], reasoning_effort: 'low' },
}
const { max_output_tokens: max_tokens, ...sameNamed } = generation

describe('settings', () => {
  it('of a client reach the upstream under its names, and notes do not', async () => {
    await client.query('a', 'hi')
    expect(lastSent()).toEqual({ model: 'transcript' })
    const own = { metadata: { note: 'secret' }, compaction: 'off', compact_at: 0.5, fallback: ['transcript'] }
    await patch('a', { ...generation, ...own, model: 'other', instructions: '짧게.' })
    await client.query('a', 'again')
    expect(lastSent()).toEqual({ ...sameNamed, max_tokens, model: 'other', instructions: '짧게.' })
    expect(upstream.journal.at(-1)?.messages.map(({ role }) => role)).toEqual([
      ...['system', 'user', 'assistant', 'user'],
    ])
    await patch('a', { temperature: 0, stop: null, top_p: null })
    await client.query('a', 'again')
    expect(lastSent()).toMatchObject({ temperature: 0, max_tokens, reasoning_effort: 'low' })
    expect(Object.keys(lastSent())).not.toContain('stop')
    await client.query('b', 'another client')
    expect(lastSent()).toEqual({ model: 'transcript' })
  })

  it('by default hold for clients that have none of their own, each by itself', async () => {
    expect((await client.send('GET', '/defaults')).body).toEqual({})
    const set = { ...generation, instructions: 'of all', model: 'other' }
    expect((await defaults(set)).body).toEqual(set)
    expect((await client.send('GET', '/defaults')).body).toEqual(set)
    await client.query('new', 'hi')
    expect(lastSent()).toEqual({ ...sameNamed, max_tokens, model: 'other', instructions: 'of all' })
    await patch('own', { temperature: 1.5, instructions: 'of one' })
    await client.query('own', 'hi')
    expect(lastSent()).toMatchObject({ temperature: 1.5, instructions: 'of one', model: 'other', top_p: 0.9 })
    expect((await client.send('GET', at('own'))).body).toMatchObject({
      model: 'other',
      settings: { temperature: 1.5, instructions: 'of one' },
    })
    await patch('own', { temperature: null, instructions: null })
    await client.query('own', 'hi')
    expect(lastSent()).toMatchObject({ temperature: 0.3, instructions: 'of all' })
    const none = Object.fromEntries(Object.keys(set).map((name) => [name, null]))
    expect((await defaults(none)).body).toEqual({})
    await client.query('own', 'hi')
    expect(lastSent()).toEqual({ model: 'transcript' })
  })

  it('sent with a message win, and hold for that one alone', async () => {
    await defaults({ top_p: 0.1, instructions: 'of all' })
    await patch('a', { temperature: 1, instructions: 'of a' })
    const override = { ...generation, model: 'other', instructions: 'of this one' }
    expect((await client.query('a', 'hi', override)).body.model).toBe('other')
    expect(lastSent()).toEqual({ ...sameNamed, max_tokens, model: 'other', instructions: 'of this one' })
    await client.query('a', 'hi')
    expect(lastSent()).toEqual({ model: 'transcript', temperature: 1, top_p: 0.1, instructions: 'of a' })
    expect((await client.send('GET', at('a'))).body.settings).toEqual({
      temperature: 1,
      instructions: 'of a',
    })
  })

  it('sent with a message are checked as those of a client are', async () => {
    for (const [settings, sentence] of [
      [{ temperature: 3 }, "'temperature' must be at most 2."],
      [{ temperature: null }, "'temperature' must be a number, and is null."],
      [{ stop: [] }, "'stop' must have at least 1 entry."],
      [{ reasoning_effort: 'much' }, "'reasoning_effort' must be one of none, minimal,"],
      [{ fallback: [''] }, "'model' must be a name"],
    ] as const) {
      const { status, body } = await client.query('a', 'hi', settings)
      expect([status, body.code, body.error]).toEqual([
        400,
        'invalid_request',
        expect.stringContaining(sentence),
      ])
    }
    expect(upstream.journal).toEqual([])
  })

  it('stay those that a message was accepted with while it waits, also through kill -9', async () => {
    const names = ['a', 'b']
    for (const name of names) await patch(name, { ...generation, instructions: `first of ${name}` })
    upstream.faults.push({ delay: 400 }, { stallAfter: 0 })
    const running = client.query('a', 'running')
    await upstream.arrived(1)
    const lost = client.query('b', 'running').catch(() => {})
    await upstream.arrived(2)
    for (const name of names) {
      const waiting = await client.query(name, `waiting ${name}`, { background: true, top_p: 0.2 })
      expect(waiting.body.status).toBe('queued')
      await patch(name, {
        ...{ model: 'other', temperature: 2, stop: null },
        instructions: `second of ${name}`,
      })
    }
    await defaults({ stop: ['default'], instructions: 'by default' })
    const accepted = { ...sameNamed, max_tokens, top_p: 0.2, model: 'transcript' }
    expect((await running).status).toBe(200)
    await upstream.arrived(3)
    expect(lastSent()).toEqual({ ...accepted, instructions: 'first of a' })

    await server.end('SIGKILL')
    await lost
    server = await startServer(options)
    client = clientOf(server.url)
    await upstream.arrived(4)
    expect(lastSent()).toEqual({ ...accepted, instructions: 'first of b' })
    await expect.poll(async () => (await client.history('b')).body.length).toBe(2)
    await client.query('b', 'next')
    expect(lastSent()).toMatchObject({
      model: 'other',
      temperature: 2,
      instructions: 'second of b',
      stop: ['default'],
    })
  })

  it('are no part of the database any more once a message is answered that brought them', async () => {
    await client.query('a', 'hi', { instructions: 'canary-4717', stop: ['canary-4718'] })
    await client.clear('b')
    const kept = readFileSync(join(server.dataDir, 'daehwa.db'))
    expect([kept.includes('canary-4717'), kept.includes('canary-4718')]).toEqual([false, false])
  })

  it('that the upstream refuses are named, and nothing of the message is kept', async () => {
    await patch('a', generation)
    for (const [param, name] of [
      ['temperature', 'temperature'],
      ['max_tokens', 'max_output_tokens'],
      ['reasoning_effort', 'reasoning_effort'],
    ]) {
      const error = { message: 'Unsupported parameter', type: 'invalid_request_error', param, code: null }
      upstream.faults.push({ status: 400, body: JSON.stringify({ error }) })
      const { status, body } = await client.query('a', 'hi')
      expect([status, body.code]).toEqual([400, 'invalid_request'])
      expect(body.error).toContain(`'${name}'`)
    }
    expect((await client.history('a')).body).toEqual([])
    expect((await client.send('GET', at('a'))).body).toMatchObject({
      turns: 0,
      input_tokens: 0,
      settings: generation,
    })
    expect((await client.query('a', 'hi')).status).toBe(200)
    expect(upstream.journal.at(-1)?.messages).toEqual([{ role: 'user', content: 'hi' }])
  })

  it('are part of the message that an Idempotency-Key stands for', async () => {
    const keyed = clientOf(server.url, { 'idempotency-key': 'k' })
    const first = await keyed.query('a', 'hi', { temperature: 0.5, stop: ['x'] })
    for (const other of [
      { temperature: 0.6, stop: ['x'] },
      { temperature: 0.5 },
      { temperature: 0.5, stop: ['y'] },
    ]) {
      const { status, body } = await keyed.query('a', 'hi', other)
      expect([status, body.code]).toEqual([422, 'idempotency_key_reused'])
    }
    await patch('a', { temperature: 2, instructions: 'new' })
    expect((await keyed.query('a', 'hi', { stop: ['x'], temperature: 0.5 })).text).toBe(first.text)
    expect(upstream.journal).toHaveLength(1)
  })
})

describe('a pinned message', () => {
  const pin = (name: string, id: string, method: 'POST' | 'DELETE' = 'POST') =>
    client.send(method, at(name, `/items/${encodeURIComponent(id)}/pin`))
  const long = 'word '.repeat(80).trim()
  const say = async (...inputs: string[]) => {
    for (const input of inputs) {
      upstream.faults.push({ say: `to ${input}` })
      expect((await client.query('a', input)).status).toBe(200)
    }
  }
  const sent = () => upstream.journal.at(-1)?.messages.map(({ content }) => content) ?? []

  it('stays, word for word, once its turn is left out: after the instructions, before the newest turns', async () => {
    await defaults({ compaction: 'off' })
    await patch('a', { instructions: 'Be brief.' })
    await say('My name is Minsu.', 'I am from Busan.')
    const history = (await client.history('a')).body as { id: string; content: string }[]
    for (const { id } of [history[3], history[0]] as { id: string }[]) {
      expect((await pin('a', id)).body).toEqual({ id, pinned: true })
    }
    await say('three')
    expect(sent()).toEqual(['Be brief.', ...history.map(({ content }) => content), 'three'])
    await say(...[1, 2, 3, 4].map((n) => `${n} ${long}`), 'and now?')
    const pinned = ['My name is Minsu.', 'to I am from Busan.']
    expect(sent().slice(0, 3)).toEqual(['Be brief.', ...pinned])
    expect(sent().slice(3)).toEqual([
      ...[3, 4].flatMap((n) => [`${n} ${long}`, `to ${n} ${long}`]),
      'and now?',
    ])
    const { items, left_out } = (await client.send('GET', at('a', '/context'))).body
    const origins = items.map(({ origin }: { origin: string }) => origin)
    expect(origins.slice(0, 4)).toEqual(['instructions', 'pinned', 'pinned', 'verbatim'])
    expect(items[1]).toMatchObject({ id: history[0]?.id, message: { role: 'user', content: pinned[0] } })
    expect(left_out.turns).toBeGreaterThan(3)

    await server.end('SIGKILL')
    server = await startServer(options)
    client = clientOf(server.url)
    await say('still?')
    expect(sent().slice(0, 3)).toEqual(['Be brief.', ...pinned])
    for (let twice = 0; twice < 2; twice++) {
      const { status, body } = await pin('a', history[0]?.id ?? '', 'DELETE')
      expect([status, body]).toEqual([200, { id: history[0]?.id, pinned: false }])
    }
    await say('and now?')
    expect(sent().slice(0, 2)).toEqual(['Be brief.', 'to I am from Busan.'])
    await client.clear('a')
    await say('gone?')
    expect(sent()).toEqual(['Be brief.', 'gone?'])
  })

  it('must be a message of this client', async () => {
    await client.query('a', 'hi')
    await client.query('b', 'hi')
    const [ofB] = (await client.history('b')).body
    const [ofA] = (await client.history('a')).body
    for (const [name, id] of [
      ['a', 'msg_none'],
      ['a', ofB.id],
      ['nobody', ofA.id],
      ['a', ofA.turn_id],
      ['a', '../../a'],
    ]) {
      for (const method of ['POST', 'DELETE'] as const) {
        const { status, body } = await pin(name, id, method)
        expect([status, body.code, body.error]).toEqual([404, 'not_found', 'There is no such message.'])
      }
    }
    expect((await pin('a', '\0')).status).toBe(400)
    await client.clear('a')
    expect((await pin('a', ofA.id)).status).toBe(404)
    expect((await client.send('GET', at('nobody'))).status).toBe(404)
  })
})
