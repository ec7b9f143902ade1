import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { clientOf } from '../support/client.ts'
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

const at = (name: string, more = '') => `/clients/${encodeURIComponent(name)}${more}`
const patch = (name: string, body: unknown) => client.send('PATCH', at(name), body)
const read = (name: string) => client.send('GET', at(name))

describe('GET /clients', () => {
  const list = async (query: Record<string, string> = {}) =>
    (await client.send('GET', `/clients?${new URLSearchParams(query)}`)).body
  const names = async (query: Record<string, string> = {}) =>
    (await list(query)).clients.map((one: { client_name: string }) => one.client_name)

  it('is empty at first', async () => {
    expect(await list()).toEqual({ clients: [], next: null })
  })

  it('has the ones last active first, with what became of each', async () => {
    for (const name of ['a', 'b', 'a']) await client.query(name, 'hi')
    await patch('c', { temperature: 1 })
    const { clients, next } = await list()
    expect(next).toBeNull()
    expect(clients).toMatchObject([
      { client_name: 'c', model: 'transcript', settings: { temperature: 1 }, turns: 0, input_tokens: 0 },
      // The transcript counts one token for each message that it was sent, and three for each answer.
      {
        client_name: 'a',
        settings: {},
        turns: 2,
        summarised_turns: 0,
        input_tokens: 1 + 3,
        output_tokens: 6,
      },
      { client_name: 'b', turns: 1, input_tokens: 1, output_tokens: 3 },
    ])
    await client.query('b', 'again')
    expect(await names()).toEqual(['b', 'c', 'a'])
    const [b] = (await list()).clients
    expect(Date.parse(b.last_active_at)).toBeGreaterThanOrEqual(Date.parse(b.created_at))
    await client.clear('a')
    expect((await read('a')).body).toMatchObject({ turns: 0, input_tokens: 0, output_tokens: 0 })
  })

  it('pages without doubles while those that were seen and those that were not go on', async () => {
    const all = Array.from({ length: 12 }, (_, n) => `client ${n}`)
    for (const name of all) await patch(name, {})
    const seen: string[] = []
    let cursor: string | null = null
    do {
      const page = await list({ limit: '3', ...(cursor !== null && { cursor }) })
      seen.push(...page.clients.map((one: { client_name: string }) => one.client_name))
      cursor = page.next
      await client.query(seen[0] ?? '', 'seen already')
      await client.query(`new ${seen.length}`, 'not there when the first page was read')
    } while (cursor !== null)
    expect(seen.toSorted()).toEqual(all.toSorted())
    expect((await names({ limit: '1000' })).length).toBe(16)
  })

  it('pages through clients that were active in the same millisecond', async () => {
    await Promise.all(Array.from({ length: 40 }, (_, n) => patch(`one ${n}`, {})))
    const seen: string[] = []
    for (let cursor: string | null = ''; cursor !== null; ) {
      const page = await list({ limit: '7', ...(cursor !== '' && { cursor }) })
      seen.push(...page.clients.map((one: { client_name: string }) => one.client_name))
      cursor = page.next
    }
    expect([seen.length, new Set(seen).size]).toEqual([40, 40])
  })

  it('finds names by their beginning, in NFC and in NFD, and takes no sign for more than it is', async () => {
    for (const name of ['민수', '민지', '수민', '100%', '100_', '1000', '🙂🙃']) await patch(name, {})
    for (const form of ['NFC', 'NFD'] as const) {
      expect((await names({ prefix: '민'.normalize(form) })).toSorted()).toEqual(['민수', '민지'])
    }
    expect(await names({ prefix: '100%' })).toEqual(['100%'])
    expect(await names({ prefix: '100_' })).toEqual(['100_'])
    expect(await names({ prefix: '🙂' })).toEqual(['🙂🙃'])
    expect(await names({ prefix: '수' })).toEqual(['수민'])
    expect(await names({ prefix: '' })).toHaveLength(7)
    const first = await list({ prefix: '100', limit: '2' })
    expect(await names({ prefix: '100', limit: '2', cursor: first.next })).toEqual(['100%'])
  })

  it('refuses a cursor that is none, and a page that cannot be, with a sentence', async () => {
    const cursors = [
      '[1]',
      '[1e999,"a"]',
      '[0.5,"a"]',
      '["1","a"]',
      '{"0":1,"1":"a"}',
      '[1,"\\u0000"]',
      '[1,"\\ud800"]',
      '['.repeat(9_000),
    ]
    const refusals = [
      ['cursor=nonsense', "'cursor' is none of this server's."],
      ['cursor=', "'cursor' is empty."],
      ['limit=0', "'limit' must be at least 1."],
      ['limit=1001', "'limit' must be at most 1000."],
      ['limit=1.5', "'limit' must be an integer"],
      ['prefix=%00', 'A text holds a NUL character.'],
      ...cursors.map((json) => [
        `cursor=${Buffer.from(json).toString('base64url')}`,
        "'cursor' is none of this server's.",
      ]),
    ]
    for (const [query, sentence] of refusals) {
      const reply = await client.send('GET', `/clients?${query}`)
      expect([reply.status, reply.body.code], query).toEqual([400, 'invalid_request'])
      expect(reply.body.error).toContain(sentence)
    }
  })

  it('sends pages that stay small, however long the instructions of clients are', async () => {
    const long = 'x'.repeat(1_000_000)
    for (let n = 0; n < 12; n++) expect((await patch(`long ${n}`, { instructions: long })).status).toBe(200)
    const seen: string[] = []
    for (let cursor: string | null = ''; cursor !== null; ) {
      const page = await list({ limit: '1000', ...(cursor !== '' && { cursor }) })
      expect(page.clients.length).toBeLessThan(6)
      seen.push(...page.clients.map((one: { client_name: string }) => one.client_name))
      cursor = page.next
    }
    expect([seen.length, new Set(seen).size]).toEqual([12, 12])
  })
})

describe('a client by its name', () => {
  it.each([
    ['with slashes', 'room/7/left'],
    ['in Korean', '민수 🙂'],
    ['with signs of addresses', 'a?b=c&d#e;f:g@h+i %2F'],
    ['of 128 characters beyond the basic plane', '🙂'.repeat(128)],
    ['that is a word of JavaScript', '__proto__'],
  ])('%s is one and the same in a path and in a body', async (_, name) => {
    expect((await client.query(name, 'hi')).status).toBe(200)
    expect((await patch(name, { temperature: 0 })).status).toBe(200)
    expect((await read(name)).body).toMatchObject({
      client_name: name,
      turns: 1,
      settings: { temperature: 0 },
    })
    expect((await client.send('GET', at(name, '/context'))).body.items).toHaveLength(2)
    expect((await client.send('DELETE', at(name))).status).toBe(200)
    expect((await read(name)).status).toBe(404)
    expect((await client.history(name)).body).toEqual([])
  })

  it('is found in NFD and in NFC', async () => {
    await patch('민수'.normalize('NFD'), { temperature: 1 })
    expect((await read('민수')).body).toMatchObject({ client_name: '민수', settings: { temperature: 1 } })
    expect((await client.send('GET', '/clients')).body.clients).toHaveLength(1)
  })

  it('that nobody used is a 404, and one that cannot be is a 400', async () => {
    expect([(await read('nobody')).status, (await read('nobody')).body.code]).toEqual([404, 'not_found'])
    for (const name of ['a\u200b', 'x'.repeat(129), 'x'.repeat(2_000)]) {
      const replies = [await read(name), await patch(name, {}), await client.send('DELETE', at(name))]
      expect(replies.map(({ status, body }) => [status, body.code])).toEqual(
        Array(3).fill([400, 'invalid_request']),
      )
    }
    expect((await client.send('GET', '/clients')).body.clients).toEqual([])
  })
})

/** What PATCH does not take, and what it says. */
const refusals: [body: unknown, sentence: string][] = [
  [
    { temprature: 1 },
    "The body has 'temprature', which is nothing that can be set here. Send, for example, {",
  ],
  [{ client_name: 'b' }, "The body has 'client_name', which is nothing that can be set here."],
  [{ temperature: 2.1 }, "'temperature' must be at most 2."],
  [{ temperature: -0.1 }, "'temperature' must be at least 0."],
  [{ temperature: '1' }, "'temperature' must be a number, and is a string."],
  [{ top_p: 1.1 }, "'top_p' must be at most 1."],
  [{ top_p: -1 }, "'top_p' must be at least 0."],
  [{ max_output_tokens: 0 }, "'max_output_tokens' must be at least 1."],
  [{ max_output_tokens: 1.5 }, "'max_output_tokens' must be an integer, and is a number."],
  [{ max_output_tokens: 10_000_001 }, "'max_output_tokens' must be at most 10000000."],
  [{ stop: 'END' }, "'stop' must be an array, and is a string."],
  [{ stop: [] }, "'stop' must have at least 1 entry."],
  [{ stop: ['a', 'b', 'c', 'd', 'e'] }, "'stop' must have at most 4 entries."],
  [{ stop: [''] }, "'stop.0' is empty."],
  [{ stop: ['x'.repeat(257)] }, "'stop.0' must have at most 256 characters."],
  [
    { reasoning_effort: 'much' },
    "'reasoning_effort' must be one of none, minimal, low, medium, high, xhigh.",
  ],
  [{ instructions: '' }, "'instructions' is empty."],
  [{ model: '' }, "'model' must be a name"],
  [{ model: 'nope' }, "The upstream has no model 'nope'."],
  [{ fallback: ['nope'] }, "The upstream has no model 'nope'."],
  [{ fallback: Array(9).fill('other') }, "'fallback' must have at most 8 entries."],
  [{ summary_model: 'nope' }, "The upstream has no model 'nope'."],
  [{ compaction: 'never' }, "'compaction' must be one of auto, off."],
  [{ compact_at: 0.05 }, "'compact_at' must be at least 0.1."],
  [{ compact_at: 1 }, "'compact_at' must be at most 0.95."],
  [{ metadata: 'note' }, "'metadata' must be an object, and is a string."],
  [{ metadata: { a: 1 } }, "'metadata.a' must be a string, and is a number."],
  [{ metadata: { 'a\nb': { deep: [] } } }, "'metadata.a\nb' must be a string, and is an object."],
  [{ metadata: { a: 'x'.repeat(513) } }, "'metadata.a' must have at most 512 characters."],
  [{ metadata: { ['x'.repeat(65)]: 'a' } }, "A key of 'metadata' must have at most 64 characters."],
  [{ metadata: { '': 'a' } }, "A key of 'metadata' is empty."],
  ['{"metadata":{"__proto__":"a"}}', "'__proto__'"],
  ['{"__proto__":{"temperature":1}}', "'__proto__'"],
  ['{"metadata":{"a":"\\u0000"}}', 'NUL'],
  ['[]', 'The body must be an object, and is an array.'],
  ['', 'The request has no body.'],
  [`{"stop":${'['.repeat(40)}${']'.repeat(40)}}`, 'over 32 levels'],
]

describe('PATCH /clients/{name}', () => {
  const full = {
    model: 'other',
    instructions: '짧게 답해.',
    temperature: 0.3,
    top_p: 0.9,
    max_output_tokens: 200,
    stop: ['\n\n', 'END'],
    reasoning_effort: 'low',
    fallback: ['transcript'],
    compaction: 'off',
    compact_at: 0.5,
    summary_model: 'transcript',
    metadata: { team: 'blue', 'a/b~c': '값' },
  }

  it('makes a client, changes what it names, takes back what is null, and leaves the rest', async () => {
    expect((await patch('a', full)).body).toMatchObject({ client_name: 'a', model: 'other', settings: full })
    const { temperature: _, stop: __, ...rest } = full
    const changed = await patch('a', { temperature: null, stop: null, top_p: 0.1 })
    expect(changed.body.settings).toEqual({ ...rest, top_p: 0.1 })
    expect((await patch('a', {})).body.settings).toEqual({ ...rest, top_p: 0.1 })
    expect((await read('a')).body.settings).toEqual({ ...rest, top_p: 0.1 })
    const none = Object.fromEntries(Object.keys(full).map((name) => [name, null]))
    expect((await patch('a', none)).body).toMatchObject({ model: 'transcript', settings: {} })
    expect((await read('a')).body.settings).toEqual({})
  })

  it('merges metadata key by key, and a null takes one away', async () => {
    await patch('a', { metadata: { one: '1', two: '2' } })
    const merged = await patch('a', { metadata: { two: null, three: '3' } })
    expect(merged.body.settings).toEqual({ metadata: { one: '1', three: '3' } })
    await patch('a', { metadata: { one: null, three: null } })
    expect((await read('a')).body.settings).toEqual({})
  })

  it('keeps no more metadata than 16 entries, however many times it is added to', async () => {
    const entries = (from: number, to: number) =>
      Object.fromEntries(Array.from({ length: to - from }, (_, n) => [`key ${from + n}`, 'x'.repeat(512)]))
    expect((await patch('a', { metadata: entries(0, 16) })).status).toBe(200)
    const more = await patch('a', { metadata: entries(16, 17), temperature: 1 })
    expect([more.status, more.body.error]).toEqual([400, expect.stringMatching(/^'metadata' .+ 16/)])
    expect((await read('a')).body.settings).toEqual({ metadata: entries(0, 16) })
    const swapped = { ...Object.fromEntries(Object.keys(entries(0, 16)).map((key) => [key, null])) }
    expect((await patch('a', { metadata: { ...swapped, ...entries(16, 32) } })).status).toBe(200)
    expect((await read('a')).body.settings).toEqual({ metadata: entries(16, 32) })
  })

  it('refuses what cannot be set, with a sentence, and changes nothing', async () => {
    for (const [body, sentence] of refusals) {
      for (const path of [at('a'), '/defaults']) {
        const reply = await client.send('PATCH', path, body)
        expect([reply.status, reply.body.error], `PATCH ${path} ${JSON.stringify(body)}`).toEqual([
          400,
          expect.stringContaining(sentence),
        ])
        expect(reply.body.code).toMatch(/^(invalid_request|model_not_found)$/)
      }
    }
    expect((await read('a')).status).toBe(404)
    expect((await client.send('GET', '/defaults')).body).toEqual({})
  })

  it('takes the largest of everything, and words that JavaScript knows', async () => {
    const metadata = Object.fromEntries(
      ['constructor', 'toString', 'hasOwnProperty', '한'.repeat(64)].map((key) => [key, '값'.repeat(512)]),
    )
    const large = { temperature: 2, top_p: 0, max_output_tokens: 10_000_000, compact_at: 0.95, metadata }
    const settings = { ...large, stop: Array(4).fill('😀'.repeat(256)), instructions: '말'.repeat(300_000) }
    expect((await patch('a', settings)).body.settings).toEqual(settings)
    expect((await read('a')).body.settings).toEqual(settings)
  })

  it('loses nothing of 50 changes that come at once', async () => {
    const keys = Array.from({ length: 16 }, (_, n) => `key ${n}`)
    const changes = [
      ...keys.map((key) => ({ metadata: { [key]: key } })),
      ...Object.entries({ ...full, metadata: undefined }).map(([name, value]) => ({ [name]: value })),
      ...Array.from({ length: 23 }, () => ({ metadata: { 'key 0': 'key 0' } })),
    ]
    const replies = await Promise.all(changes.map((change) => patch('a', change)))
    expect(replies.filter(({ status }) => status !== 200)).toEqual([])
    const metadata = Object.fromEntries(keys.map((key) => [key, key]))
    expect((await read('a')).body.settings).toEqual({ ...full, metadata })
  })

  it('answers with what it wrote, also when the client is erased at the same time', async () => {
    for (let n = 0; n < 20; n++) {
      const [changed] = await Promise.all([patch('a', { top_p: 1 }), client.send('DELETE', at('a'))])
      expect([changed.status, changed.body.settings]).toEqual([200, { top_p: 1 }])
    }
  })
})

describe('GET /model and POST /model', () => {
  it('show and set the model that PATCH sets and GET shows', async () => {
    await patch('a', { model: 'other', temperature: 1 })
    expect((await client.model('a')).body).toEqual({ model: 'other' })
    expect((await client.setModel('a', 'transcript')).body).toEqual({ model: 'transcript' })
    expect((await read('a')).body).toMatchObject({
      model: 'transcript',
      settings: { model: 'transcript', temperature: 1 },
    })
    await patch('a', { model: null })
    expect((await client.model('a')).body).toEqual({ model: 'transcript' })
    expect((await client.model('nobody')).body).toEqual({ model: 'transcript' })
    await client.send('PATCH', '/defaults', { model: 'other' })
    expect((await client.model('a')).body).toEqual({ model: 'other' })
    expect((await client.model('nobody')).body).toEqual({ model: 'other' })
    expect((await read('nobody')).status).toBe(404)
  })
})

describe('DELETE /clients/{name}', () => {
  const canary = 'canary-client-4716'
  const hits = () =>
    readdirSync(server.dataDir).filter((file) => readFileSync(join(server.dataDir, file)).includes(canary))
  const erase = (name: string) => client.send('DELETE', at(name))

  it('erases history, settings and pins, says how many messages, and twice is as good as once', async () => {
    await patch('a', { temperature: 1, instructions: canary, metadata: { note: canary } })
    for (let n = 0; n < 2; n++) await client.query('a', `${canary} ${n}`, { instructions: canary })
    const [first] = (await client.history('a')).body
    await client.send('POST', at('a', `/items/${first.id}/pin`))
    await client.query('b', 'stays')
    expect(hits()).not.toEqual([])
    const reply = await erase('a')
    expect([reply.status, reply.body]).toEqual([
      200,
      { message: 'The client is erased: 4 messages and its settings.' },
    ])
    expect(hits()).toEqual([])
    expect((await read('a')).status).toBe(404)
    expect((await erase('a')).body).toEqual({ message: 'The client is erased: 0 messages and its settings.' })
    expect((await client.query('a', 'new')).status).toBe(200)
    expect((await read('a')).body).toMatchObject({ turns: 1, settings: {}, input_tokens: 1 })
    expect(upstream.journal.at(-1)?.messages).toEqual([{ role: 'user', content: 'new' }])
    expect((await client.history('b')).body).toHaveLength(2)
  })

  it('ends what runs and what waits, and nothing of it comes back', async () => {
    await patch('a', { instructions: canary })
    await client.query('a', canary)
    upstream.faults.push({ say: `${canary} two three four five six`, pause: 1_000 })
    const running = client.query('a', `${canary} running`)
    await upstream.arrived(2)
    const waiting = await client.query('a', `${canary} waiting`, { background: true })
    const begin = performance.now()
    expect((await erase('a')).status).toBe(200)
    expect(performance.now() - begin).toBeLessThan(2_000)
    const ended = await running
    expect([ended.status, ended.body.code]).toEqual([410, 'history_deleted'])
    const turn = (await client.send('GET', `/turns/${waiting.body.id}`)).body
    expect(turn).toMatchObject({ status: 'cancelled', error: { code: 'history_deleted' } })
    await expect.poll(() => upstream.journal[1]?.closedEarly).toBe(true)
    expect((await read('a')).status).toBe(404)
    expect((await client.query('a', 'new')).status).toBe(200)
    expect(upstream.journal).toHaveLength(3)
    expect(upstream.journal[2]?.messages).toEqual([{ role: 'user', content: 'new' }])
    expect((await client.history('a')).body).toHaveLength(2)
    await erase('a')
    expect(hits()).toEqual([])
  })

  it('leaves whole turns, or none, when messages come at the same time', async () => {
    const rounds = Array.from({ length: 30 }, async (_, n) => {
      const asked = client.query('a', `${canary} ${n}`, n % 2 === 0 ? { instructions: canary } : {})
      const [reply] = await Promise.all([
        asked,
        n % 3 === 0 ? erase('a') : patch('a', { instructions: canary }),
      ])
      return reply.status
    })
    expect((await Promise.all(rounds)).filter((status) => status !== 200 && status !== 410)).toEqual([])
    const { body } = await client.history('a')
    expect(body.length % 2).toBe(0)
    expect((await client.query('a', 'after')).status).toBe(200)
    await erase('a')
    expect([(await read('a')).status, hits()]).toEqual([404, []])
    await server.end('SIGTERM')
    expect(hits()).toEqual([])
  })
})
