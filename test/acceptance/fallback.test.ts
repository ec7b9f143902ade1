import { writeFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { clientOf } from '../support/client.ts'
import { readEvents, textOf } from '../support/events.ts'
import { startServer, temporaryDir } from '../support/start-server.ts'
import {
  type Fault,
  startTranscriptUpstream,
  type TranscriptUpstream,
} from '../support/transcript-upstream.ts'

const say = (delta: object): string => JSON.stringify({ choices: [{ index: 0, delta, finish_reason: null }] })
const word = say({ content: 'Hello' })
const thought = say({ reasoning_content: 'Hm' })
const failure = (code: string): string => JSON.stringify({ error: { code, message: 'no' } })
const html = { status: 200, headers: { 'content-type': 'text/html' }, body: '<html>sign in</html>' }
const rateLimited = (seconds?: string): Fault => ({
  status: 429,
  headers: seconds === undefined ? {} : { 'retry-after': seconds },
})
const tooLong = { status: 400, body: failure('context_length_exceeded') }
const noModel = { status: 404, body: failure('model_not_found') }
const refusedSetting = {
  ...{ status: 400, body: '{"error":{"param":"temperature","message":"not supported"}}' },
}

/** Where the first upstream of a row is, if it is not the one that does as it is told. */
type Elsewhere = 'nowhere' | 'silent'

/** What the upstreams of a chain do, how often each is asked, and what the client sees. */
type Row = readonly [what: string, faults: readonly (Fault | Elsewhere)[], asked: string, seen: string]

const b = '200 from b/transcript'
const c = '200 from c/transcript'

const beforeTheFirstWord: readonly Row[] = [
  ['401', [{ status: 401 }], '1 1 0', b],
  ['403', [{ status: 403 }], '1 1 0', b],
  ['402', [{ status: 402 }], '1 1 0', b],
  ['429, no credit', [{ status: 429, body: failure('insufficient_quota') }], '1 1 0', b],
  ['429', [rateLimited()], '3 1 0', b],
  ['429, Retry-After: 1', [rateLimited('1')], '3 1 0', b],
  ['429, Retry-After: 60', [rateLimited('60')], '1 1 0', b],
  ['500', [{ status: 500 }], '3 1 0', b],
  ['502', [{ ...html, status: 502 }], '3 1 0', b],
  ['503', [{ status: 503 }], '3 1 0', b],
  ['408', [{ status: 408 }], '1 1 0', b],
  ['504', [{ status: 504 }], '1 1 0', b],
  ['404, a wrong address', [{ ...html, status: 404 }], '1 1 0', b],
  ['302, a redirect', [{ status: 302, headers: { location: '/' } }], '1 1 0', b],
  ['HTML with 200', [html], '1 1 0', b],
  ['bad JSON', [{ data: ['{oops'] }], '1 1 0', b],
  ['JSON that is no answer', [{ data: ['{"ok":true}'] }], '1 1 0', b],
  ['an error event', [{ data: [failure('server_error')] }], '1 1 0', b],
  ['an error event, rate limit', [{ data: [failure('rate_limit_exceeded')] }], '3 1 0', b],
  ['no finish reason, no text', [{ data: [say({ role: 'assistant' }), '[DONE]'] }], '1 1 0', b],
  ['connection refused', ['nowhere'], '0 1 0', b],
  ['no connection in time', ['silent'], '0 1 0', b],
  ['cut before any byte', [{ cutAfter: 0 }], '3 1 0', b],
  ['cut before any text', [{ data: [say({ role: 'assistant' }), word], cutAfter: 1 }], '3 1 0', b],
  ['no first token in time', [{ stallAfter: 0 }], '1 1 0', b],
  ['only comments in time', [{ stallAfter: 0, heartbeat: 50 }], '1 1 0', b],
  ['context too long', [tooLong], '1 0 0', '400 context_length_exceeded'],
  ['unknown model', [noModel], '1 0 0', '400 model_not_found'],
  ['a setting refused', [refusedSetting], '1 0 0', '400 invalid_request'],
  ['400', [{ status: 400 }], '1 0 0', '502 upstream_error'],
  ['422', [{ status: 422 }], '1 0 0', '502 upstream_error'],
  ['401, then 500', [{ status: 401 }, { status: 500 }], '1 3 1', c],
  ['503, then context too long', [{ status: 503 }, tooLong], '3 1 1', c],
  ['503, then unknown model', [{ status: 503 }, noModel], '3 1 1', c],
  ['503, then a setting refused', [{ status: 503 }, refusedSetting], '3 1 1', c],
  ['503, then 400', [{ status: 503 }, { status: 400 }], '3 1 1', c],
  [
    'all: HTML, 401, 429',
    [html, { status: 401 }, rateLimited('60')],
    '1 1 1',
    '429 upstream_rate_limited, Retry-After: 60',
  ],
  ['all: no credit, 400, 400', [{ status: 402 }, { status: 400 }, tooLong], '1 1 1', '503 upstream_quota'],
]

const afterTheFirstWord: readonly Row[] = [
  ['text, then cut', [{ cutAfter: 1 }], '1 0 0', '502 upstream_bad_response, Retry-After: 1'],
  ['text, then a stall', [{ stallAfter: 1 }], '1 0 0', '504 upstream_timeout'],
  ['text, then an error event', [{ data: [word, failure('server_error')] }], '1 0 0', '502 upstream_error'],
  [
    'text, then a rate limit',
    [{ data: [word, failure('rate_limit_exceeded')] }],
    '1 0 0',
    '429 upstream_rate_limited, Retry-After: 1',
  ],
  ['text, then bad JSON', [{ data: [word, '{oops'] }], '1 0 0', '502 upstream_bad_response'],
  ['text, no finish reason', [{ finishReason: null }], '1 0 0', '502 upstream_bad_response'],
  [
    'reasoning, then cut',
    [{ data: [thought, word], cutAfter: 1 }],
    '1 0 0',
    '502 upstream_bad_response, Retry-After: 1',
  ],
  ['reasoning, then a stall', [{ data: [thought, word], stallAfter: 1 }], '1 0 0', '504 upstream_timeout'],
  ['reasoning, no finish reason', [{ data: [thought, '[DONE]'] }], '1 0 0', '502 upstream_bad_response'],
  ['401, then text and a stall', [{ status: 401 }, { stallAfter: 1 }], '1 1 0', '504 upstream_timeout'],
]

const rows = [...beforeTheFirstWord, ...afterTheFirstWord]

const threeUpstreams = () =>
  Promise.all([startTranscriptUpstream(), startTranscriptUpstream(), startTranscriptUpstream()])

function folderWith(file: object, dataDir = temporaryDir()): string {
  writeFileSync(join(dataDir, 'daehwa.config.json'), JSON.stringify(file))
  return dataDir
}

/** A TCP server that takes connections and says nothing: a TLS handshake with it never ends. */
async function startSilent(): Promise<{ address: string; connections: () => number }> {
  const sockets: Socket[] = []
  const server = createServer((socket) => void sockets.push(socket))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { address: `https://127.0.0.1:${port}/v1`, connections: () => sockets.length }
}

/**
 * A server in which each row has a chain of its own over the same three upstreams: requests tell by their address of
 * which row they are, and no row opens the circuit of another.
 */
async function startRows() {
  const upstreams = await threeUpstreams()
  const silent = await startSilent()
  const addresses = { nowhere: 'http://127.0.0.1:1/v1', silent: silent.address }
  const timeouts = { connect_ms: 1_000, idle_ms: 700 }
  const impatient = { ...timeouts, first_token_ms: 1_500 }
  const chains = rows.map(([, faults], row) =>
    ['a', 'b', 'c'].map((letter, at) => {
      const fault = faults[at]
      const base_url = typeof fault === 'string' ? addresses[fault] : upstreams[at]?.baseUrl
      const stalls = Object(fault).stallAfter === 0
      const entry = { base_url, query: { row: String(row) }, timeouts: stalls ? impatient : timeouts }
      return [`${letter}-${row}`, entry] as const
    }),
  )
  for (const [at, upstream] of upstreams.entries()) {
    upstream.faultAt = (url) => {
      const fault = rows[Number(new URL(url, 'http://x').searchParams.get('row'))]?.[1][at]
      return typeof fault === 'string' ? undefined : fault
    }
  }
  const aliases = chains.map((chain, row) => [`chain-${row}`, chain.map(([name]) => `${name}/transcript`)])
  const file = { upstreams: Object.fromEntries(chains.flat()), aliases: Object.fromEntries(aliases) }
  const server = await startServer({ dataDir: folderWith({ ...file, default_model: 'chain-0' }) })
  return { upstreams, silent, server, client: clientOf(server.url) }
}

const askedFor = (upstreams: readonly TranscriptUpstream[], input: string): string =>
  upstreams
    .map(({ journal }) => journal.filter(({ messages }) => messages.at(-1)?.content === input).length)
    .join(' ')

async function eightAtOnce<T, R>(all: readonly T[], run: (one: T, at: number) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  const entries = all.entries()
  const worker = async () => {
    for (const [at, one] of entries) results[at] = await run(one, at)
  }
  await Promise.all(Array.from({ length: 8 }, worker))
  return results
}

const bare = (model: string): string => model.replace(/-\d+\//, '/')

describe('promise 17: when a model of a chain fails', () => {
  it('before its first word the next one is asked, unless it lies with the request; after it nobody is', async () => {
    const { upstreams, silent, server, client } = await startRows()
    const body = (row: number, input: string) => ({
      ...{ input, client_name: input, model: `chain-${row}`, temperature: 0.5 },
    })
    const results = await eightAtOnce(rows, async ([what, , asked, seen], row) => {
      const [whole, streamed] = await Promise.all([
        client.send('POST', '/query', body(row, `${what}, whole`)),
        readEvents(`${server.url}/query`, {
          ...{ method: 'POST', headers: { 'content-type': 'application/json' } },
          body: JSON.stringify({ ...body(row, `${what}, streamed`), stream: true }),
        }),
      ])
      const retryAfter = whole.headers.get('retry-after')
      const told = `${whole.body.code}${retryAfter === null ? '' : `, Retry-After: ${retryAfter}`}`
      const kept = (await client.history(`${what}, whole`)).body.length
      return {
        ...{ what, expected: { asked, seen, kept: seen.startsWith('200') ? 2 : 0 }, streamed },
        found: {
          asked: askedFor(upstreams, `${what}, whole`),
          seen: `${whole.status} ${whole.status === 200 ? `from ${bare(whole.body.model)}` : told}`,
          kept,
        },
        askedStreamed: askedFor(upstreams, `${what}, streamed`),
      }
    })
    const line = (...cells: string[]) =>
      cells.map((cell, at) => cell.padEnd([30, 13, 44, 0][at] ?? 0)).join(' ')
    const lines = results.map(({ what, found, streamed }) =>
      line(what, found.asked, found.seen, streamed.events.at(-1)?.event ?? ''),
    )
    const head = line('what fails', 'asked a b c', 'what the client sees', 'last event of a stream')
    process.stderr.write(`\n${[head, ...lines].join('\n')}\n`)
    for (const { what, found, expected, streamed, askedStreamed } of results) {
      expect.soft(found, what).toEqual(expected)
      expect.soft(askedStreamed, what).toBe(expected.asked)
      const { events, done } = streamed
      const types = events.map(({ event }) => event)
      const served = expected.kept > 0
      expect
        .soft([done, types[0], types[1], types.at(-1)], what)
        .toEqual([
          ...[true, 'response.created', 'response.in_progress'],
          served ? 'response.completed' : 'response.failed',
        ])
      expect
        .soft(
          types.filter((type) => /created|completed|failed/.test(type)),
          what,
        )
        .toHaveLength(2)
      if (served) expect.soft(textOf(events), what).toMatch(/^token=\S+ count=1 digest=\S+$/)
    }
    // For the list at the start, and for each of the two who asked: what took its time is not tried again.
    expect(silent.connections()).toBe(3)
  }, 30_000)
})

type Request = readonly [method: string, path: string, body: object]

/** What a test says of the upstreams `a`, `b` and `c` besides their addresses. */
type Extra = Readonly<Partial<Record<'a' | 'b' | 'c', object>>>

const smart = ['a/transcript', 'b/transcript', 'c/transcript']

/** A server whose models are a chain over three upstreams. */
async function startChain({ extra = {}, env = {} }: { extra?: Extra; env?: Record<string, string> } = {}) {
  const [a, b, c] = await threeUpstreams()
  const upstreams = {
    a: { base_url: a.baseUrl, ...extra.a },
    b: { base_url: b.baseUrl, ...extra.b },
    c: { base_url: c.baseUrl, ...extra.c },
  }
  const file = { upstreams, aliases: { smart }, default_model: 'smart' }
  const server = await startServer({ dataDir: folderWith(file), env })
  const client = clientOf(server.url)
  const servedBy = async (name: string, more: object = {}) => {
    const { body } = await client.query(name, 'hi', more)
    return body.model ?? body.code
  }
  const asked = () => [a, b, c].map(({ journal }) => journal.length)
  return { a, b, c, file, server, client, servedBy, asked }
}

const refused = { status: 401 }
const patch = (body: object, of = '/clients/minsu') => ['PATCH', of, body] as const satisfies Request

describe('a conversation', () => {
  it('stays with the model that answered it last, and moves on when that fails', async () => {
    const { a, b, client, servedBy, asked } = await startChain()
    a.faults.push(refused)
    expect(await servedBy('minsu')).toBe('b/transcript')
    expect(await servedBy('minsu')).toBe('b/transcript')
    expect(asked()).toEqual([1, 2, 0])
    expect((await client.send('GET', '/clients/minsu/context')).body.model).toBe('b/transcript')
    expect(await servedBy('jisu')).toBe('a/transcript')
    b.faults.push(refused)
    a.faults.push(refused)
    expect(await servedBy('minsu')).toBe('c/transcript')
    expect(await servedBy('minsu')).toBe('c/transcript')
    expect(asked()).toEqual([3, 3, 2])
  })

  it('is back with the first one when the model or the fallback of its client is set', async () => {
    const { a, client, servedBy } = await startChain()
    const requests: Record<string, Request> = {
      'POST /model': ['POST', '/model', { client_name: 'POST /model', model: 'smart' }],
      model: ['PATCH', '/clients/model', { model: 'smart' }],
      fallback: ['PATCH', '/clients/fallback', { fallback: [] }],
      instructions: ['PATCH', '/clients/instructions', { instructions: 'Be brief.' }],
    }
    const next: Record<string, string> = {}
    for (const [name, request] of Object.entries(requests)) {
      a.faults.push(refused)
      expect(await servedBy(name)).toBe('b/transcript')
      expect((await client.send(...request)).status).toBe(200)
      next[name] = await servedBy(name)
    }
    expect(next).toEqual({
      ...{ 'POST /model': 'a/transcript', model: 'a/transcript', fallback: 'a/transcript' },
      instructions: 'b/transcript',
    })
  })

  it('goes to the first model of a chain that its operator has changed', async () => {
    const { file, server, servedBy } = await startChain()
    expect(await servedBy('minsu')).toBe('a/transcript')
    await server.end('SIGTERM')
    const changed = { ...file, aliases: { smart: ['c/transcript', 'a/transcript'] } }
    const again = await startServer({ dataDir: folderWith(changed, server.dataDir) })
    expect((await clientOf(again.url).query('minsu', 'hi')).body.model).toBe('c/transcript')
  })

  it('does not stay with a model that one message alone asked for', async () => {
    const { servedBy } = await startChain()
    const once = { model: 'b/transcript', fallback: ['a/transcript', 'c/transcript'] }
    expect(await servedBy('minsu', once)).toBe('b/transcript')
    expect(await servedBy('minsu')).toBe('a/transcript')
  })

  it('leaves a stand-in that cannot take a message which its own model can', async () => {
    const { a, b, c, client, servedBy, asked } = await startChain({
      extra: { b: { models: { transcript: { window: 512 } } } },
    })
    a.faults.push(refused)
    expect(await servedBy('minsu')).toBe('b/transcript')
    const long = await client.query('minsu', 'word '.repeat(1_000))
    expect([long.status, long.body.model]).toEqual([200, 'a/transcript'])
    expect(asked()).toEqual([2, 1, 0])

    a.faults.push(refused)
    expect(await servedBy('jisu')).toBe('b/transcript')
    b.faults.push(refusedSetting)
    expect(await servedBy('jisu', { temperature: 0.5 })).toBe('a/transcript')
    expect(c.journal).toEqual([])
  })
})

describe('a chain', () => {
  it("may be one message's, before that of its client, before that of all clients", async () => {
    const { a, client, servedBy, asked } = await startChain()
    a.faultAt = () => refused
    const only = { model: 'a/transcript' }
    expect(await servedBy('minsu', only)).toBe('upstream_auth')
    await client.send(...patch({ ...only, fallback: ['b/other'] }, '/defaults'))
    expect(await servedBy('minsu')).toBe('b/other')
    await client.send(...patch({ fallback: ['b/transcript'] }))
    expect(await servedBy('minsu')).toBe('b/transcript')
    expect(await servedBy('minsu', { fallback: ['c/other'] })).toBe('c/other')
    expect(await servedBy('minsu', { fallback: ['smart'] })).toBe('b/transcript')
    await client.send(...patch({ fallback: null }))
    expect(await servedBy('minsu')).toBe('b/other')
    expect(await servedBy('minsu', { fallback: [] })).toBe('upstream_auth')
    expect(asked()[2]).toBe(1)
  })

  it('ends with the time of the turn: whoever comes after that is not asked', async () => {
    const slow = { timeouts: { first_token_ms: 500 } }
    const { a, b, client, asked, server } = await startChain({
      ...{ extra: { a: slow, b: slow }, env: { DAEHWA_TURN_TIMEOUT_MS: '800' } },
    })
    a.faultAt = b.faultAt = () => ({ stallAfter: 0 })
    const begin = performance.now()
    const reply = await client.query('minsu', 'hi')
    expect([reply.status, reply.body.code]).toEqual([504, 'upstream_timeout'])
    expect(reply.body.error).toContain('the turn took over 800 ms')
    expect(performance.now() - begin).toBeLessThan(1_800)
    expect(asked()).toEqual([1, 1, 0])
    expect(server.output().match(/a model does not answer/g)).toHaveLength(1)
  })

  it('ends with a turn that is cancelled', async () => {
    const { a, client, asked } = await startChain()
    a.faults.push({ stallAfter: 0 })
    const { body } = await client.query('minsu', 'hi', { background: true })
    await a.arrived(1)
    expect((await client.send('POST', `/turns/${body.id}/cancel`)).body.status).toBe('cancelled')
    await expect.poll(() => a.journal[0]?.closedEarly).toBe(true)
    expect(asked()).toEqual([1, 0, 0])
  })

  it('passes an upstream whose circuit is open in a moment', async () => {
    const { a, servedBy, asked } = await startChain()
    a.faultAt = () => ({ status: 500 })
    const names = Array.from({ length: 7 }, (_, n) => `client ${n}`)
    await Promise.all(names.map((name) => servedBy(name)))
    const [before = 0] = asked()
    expect(before).toBeGreaterThanOrEqual(20)
    const durations: number[] = []
    for (const name of names) {
      const begin = performance.now()
      expect(await servedBy(`new ${name}`)).toBe('b/transcript')
      durations.push(performance.now() - begin)
    }
    expect(durations.toSorted((x, y) => x - y)[3]).toBeLessThan(50)
    expect(asked()[0]).toBe(before)
  })

  it('tells the operator of a key that is refused, as an error and without the key', async () => {
    const keys = { A_KEY: 'key-of-a', B_KEY: 'key-of-b' }
    const { a, b, c, server, servedBy } = await startChain({
      extra: {
        a: { api_key_env: 'A_KEY' },
        b: { api_key_env: 'B_KEY', api_key_header: 'api-key', headers: { 'X-Title': 'b' } },
      },
      env: keys,
    })
    a.faults.push({ status: 403 })
    b.faults.push({ status: 503 }, { status: 503 }, { status: 503 })
    expect(await servedBy('minsu')).toBe('c/transcript')
    await expect.poll(() => server.output()).toContain('"an upstream refuses its key"')
    const [line] = server.output().match(/.*an upstream refuses its key.*/) ?? []
    expect(JSON.parse(line ?? '')).toMatchObject({
      ...{ level: 'error', model: 'a/transcript', upstream: 'a', code: 'upstream_auth' },
    })
    expect(server.output()).not.toContain('key-of')

    const keysSeen = [a, b, c].map(({ journal }) =>
      journal.map(({ headers }) => [headers.authorization, headers['api-key'], headers['x-title']]),
    )
    expect(keysSeen).toEqual([
      [['Bearer key-of-a', undefined, undefined]],
      Array(3).fill([undefined, 'key-of-b', 'b']),
      [[undefined, undefined, undefined]],
    ])
  })
})

describe('a model that stands in', () => {
  it('gets as much of the conversation as its window takes, and the first one all of it', async () => {
    const { a, b, client } = await startChain({ extra: { b: { models: { transcript: { window: 1_024 } } } } })
    await client.send(...patch({ compaction: 'off' }, '/defaults'))
    for (let n = 0; n < 12; n++) await client.query('minsu', `${n} ${'word '.repeat(60)}`)
    a.faults.push(refused)
    const reply = await client.query('minsu', 'now')
    expect([reply.status, reply.body.model]).toEqual([200, 'b/transcript'])
    expect(a.journal.at(-1)?.messages).toHaveLength(25)
    const sent = b.journal[0]?.messages ?? []
    expect(sent.length).toBeGreaterThan(2)
    expect(sent.length).toBeLessThan(15)
    expect(sent).toEqual(a.journal.at(-1)?.messages.slice(-sent.length))
    expect(sent[0]?.role).toBe('user')
  })

  it('makes the summary that it needs for its window itself', async () => {
    const { a, b, c, client } = await startChain({
      extra: { b: { models: { transcript: { window: 1_024 } } } },
    })
    for (let n = 0; n < 12; n++) await client.query('minsu', `${n} ${'word '.repeat(60)}`)
    a.faultAt = () => refused
    const reply = await client.query('minsu', 'now')
    expect([reply.status, reply.body.model]).toEqual([200, 'b/transcript'])
    expect((await client.send('GET', '/clients/minsu')).body.summarised_turns).toBeGreaterThan(5)
    expect([a.journal.length, c.journal.length]).toEqual([13, 0])
    expect(b.journal.length).toBeGreaterThan(1)
  })

  it('is not sent the settings that it does not take; of the first one they are refused', async () => {
    const { a, b, client, servedBy, asked } = await startChain({
      extra: {
        a: { models: { transcript: { settings: ['temperature', 'max_output_tokens'] } } },
        b: { models: { transcript: { settings: ['max_output_tokens'] } } },
      },
    })
    const refusal = await client.query('minsu', 'hi', { top_p: 0.5 })
    expect([refusal.status, refusal.body]).toMatchObject([400, { code: 'invalid_request' }])
    expect(refusal.body.error).toContain("'a/transcript' takes no 'top_p'")
    expect(asked()).toEqual([0, 0, 0])
    a.faults.push(refused)
    expect(await servedBy('minsu', { temperature: 0.5, max_output_tokens: 99 })).toBe('b/transcript')
    expect(JSON.parse(a.journal[0]?.raw ?? '')).toMatchObject({ temperature: 0.5, max_tokens: 99 })
    expect(JSON.parse(b.journal[0]?.raw ?? '')).toMatchObject({ max_tokens: 99 })
    expect(b.journal[0]?.raw).not.toContain('temperature')
  })

  it('reads the bytes that the first one would have read, and more of them from turn to turn', async () => {
    const { a, b, client } = await startChain()
    await client.send(...patch({ instructions: '짧게 답해 줘 👩‍👩‍👧', temperature: 0.1 }))
    const ask = (n: number) => client.query('minsu', `"${n}" \u2028 한글 </p>\n`, { temperature: n / 10 })
    await ask(0)
    await ask(1)
    a.faults.push(refused)
    for (const n of [2, 3, 4]) expect((await ask(n)).body.model).toBe('b/transcript')
    const messages = (body: string) => /"messages":\[(.*)\],"stream"/s.exec(body)?.[1] ?? body
    const sent = [...a.journal, ...b.journal].map(({ raw }) => messages(raw))
    expect(sent).toHaveLength(6)
    expect(sent[3]).toBe(sent[2])
    for (const [at, body] of sent.entries()) expect(body.startsWith(sent[at - 1] ?? '')).toBe(true)
    const heads = b.journal.map(({ raw }) => raw.slice(0, raw.indexOf('"messages"')))
    expect(heads).toEqual(Array(3).fill('{"model":"transcript",'))
  })
})
