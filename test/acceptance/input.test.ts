import { connect } from 'node:net'
import { text as readText } from 'node:stream/consumers'
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

/** Sends bytes as they are, and gives back all that comes until the connection closes. */
async function raw(bytes: string | Buffer): Promise<string> {
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1')
  socket.write(bytes)
  return readText(socket)
}

const post = (path: string, body: string | Buffer, type = 'application/json') =>
  raw(
    Buffer.concat([
      Buffer.from(
        `POST ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: ${type}\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n`,
      ),
      Buffer.from(body),
    ]),
  )

describe('promise 29: a client name', () => {
  const name = '민수 🙂'

  it('reaches one history in NFD and in NFC, on every route', async () => {
    expect((await client.query(name.normalize('NFD'), '안녕')).status).toBe(200)
    expect((await client.setModel(name.normalize('NFD'), 'other')).status).toBe(200)
    for (const form of ['NFC', 'NFD'] as const) {
      expect((await client.history(name.normalize(form))).body).toHaveLength(2)
      expect((await client.model(name.normalize(form))).body).toEqual({ model: 'other' })
    }
    expect((await client.clear(name.normalize('NFD'))).status).toBe(200)
    expect((await client.history(name.normalize('NFC'))).body).toEqual([])
  })

  it.each([
    ['empty', ''],
    ['with a control character', 'a\u0001'],
    ['with a zero-width space', 'a\u200b'],
    ['with a direction character', 'a\u202e'],
    ['over 128 characters', 'x'.repeat(129)],
  ])('%s is refused on every route with a sentence', async (_, bad) => {
    const replies = [
      await client.query(bad, 'hi'),
      await client.setModel(bad, 'other'),
      await client.model(bad),
      await client.history(bad),
      await client.clear(bad),
    ]
    for (const { status, body } of replies) {
      expect([status, body.code]).toEqual([400, 'invalid_request'])
      expect(body.error).toMatch(/^'client_name' .+\. Send .+\.$/)
    }
    expect(upstream.journal).toEqual([])
  })
})

describe('promise 30: text that cannot be kept', () => {
  it.each([
    ['half of a surrogate pair', '{"input":"\\ud83d","client_name":"a"}', 'half of a surrogate pair'],
    [
      'half of a surrogate pair in a key',
      '{"input":"x","client_name":"a","\\udc00":1}',
      'half of a surrogate pair',
    ],
    ['NUL', '{"input":"a\\u0000b","client_name":"a"}', 'NUL'],
    ['a broken byte', Buffer.from('{"input":"\xff","client_name":"a"}', 'latin1'), 'not valid UTF-8'],
    ['Korean in EUC-KR', Buffer.from('{"input":"\xbe\xc8","client_name":"a"}', 'latin1'), 'not valid UTF-8'],
  ])('%s in a body is refused', async (_, body, sentence) => {
    const reply = await post('/query', body)
    expect(reply).toMatch(/^HTTP\/1\.1 400 /)
    expect(reply).toContain(sentence)
    expect(upstream.journal).toEqual([])
  })

  it.each([
    ['a broken escape', 'GET /history?client_name=%FF%FE', 'not percent-encoded UTF-8'],
    ['half of an escape', 'GET /history?client_name=%E', 'not percent-encoded UTF-8'],
    ['NUL', 'GET /history?client_name=a%00', 'holds a control'],
    ['half of a surrogate pair', 'GET /history?client_name=%ED%A0%80', 'not percent-encoded UTF-8'],
    ['NUL in a turn_id', 'GET /history?client_name=a&before=%00', 'NUL'],
    ['a broken escape in the path', 'GET /histor%FF?client_name=a', 'not percent-encoded UTF-8'],
    ['Korean that is not encoded', 'GET /history?client_name=민수', '--data-urlencode'],
  ])('%s in an address is refused', async (_, line, sentence) => {
    const reply = await raw(`${line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`)
    expect(reply).toMatch(/^HTTP\/1\.1 400 /)
    expect(reply).toContain(sentence)
    expect(reply).toContain('"code":"invalid_request"')
  })
})

describe('promise 31: a body', () => {
  it('over 1 MiB is a 413, one just below it is taken', async () => {
    const tooLarge = await client.query('민수', 'x'.repeat(1024 * 1024))
    expect([tooLarge.status, tooLarge.body.code]).toEqual([413, 'payload_too_large'])
    expect(tooLarge.body.error).toContain('over 1048576 bytes')
    const large = await client.query('민수', ' '.repeat(1024 * 1024 - 100))
    expect(large.body.code).toBe('context_length_exceeded')
  })

  it('nested over 32 deep is refused, and so is __proto__', async () => {
    const nested = (depth: number) =>
      `{"input":"x","client_name":"a","more":${'['.repeat(depth - 1)}${']'.repeat(depth - 1)}}`
    expect((await client.send('POST', '/query', nested(32))).status).toBe(200)
    expect((await client.send('POST', '/query', nested(33))).body.error).toContain('over 32 levels')
    expect((await client.send('POST', '/query', '['.repeat(1_000_000))).status).toBe(400)
    const proto = '{"input":"x","client_name":"a","__proto__":{"model":"other"}}'
    expect((await client.send('POST', '/query', proto)).body.error).toContain("'__proto__'")
  })

  it.each([
    ['text/plain'],
    ['application/x-www-form-urlencoded'],
    ['application/xml'],
    ['nonsense'],
    ['application/json; charset=euc-kr'],
  ])('of the type %s is a 415 that says what to send', async (type) => {
    const reply = await post('/query', '{"input":"x","client_name":"a"}', type)
    expect(reply).toMatch(/^HTTP\/1\.1 415 /)
    expect(reply).toContain('Content-Type: application/json')
  })

  it.each([
    ['{"input":"x"}', "The body has no 'client_name'. Send, for example, {"],
    ['{"client_name":"a"}', "The body has no 'input'."],
    ['{"input":"","client_name":"a"}', "'input' is empty."],
    ['{"input":1,"client_name":"a"}', "'input' must be a string, and is a number."],
    ['{"input":["x"],"client_name":"a"}', "'input' must be a string, and is an array."],
    ['{"input":null,"client_name":"a"}', "'input' must be a string, and is null."],
    ['{"input":"x","client_name":true}', "'client_name' must be a string, and is a boolean."],
    ['{"input":"x","client_name":"a","model":""}', "'model' must be a name of 1 to 256"],
    ['{"input":"x","client_name":"a","instructions":""}', "'instructions' is empty."],
    ['[]', 'The body must be an object, and is an array.'],
    ['"x"', 'The body must be an object, and is a string.'],
    ['', 'The request has no body. Send, for example, {'],
    ['{"input":"x",}', 'The body is not valid JSON.'],
    ['{"input":"secret', 'The body is not valid JSON.'],
  ])('%s is refused with a sentence', async (body, sentence) => {
    const reply = await client.send('POST', '/query', body)
    expect([reply.status, reply.body.code]).toEqual([400, 'invalid_request'])
    expect(reply.body.error).toContain(sentence)
    expect(reply.text).not.toContain('secret')
    expect((await client.history('a')).body).toEqual([])
  })

  it('may hold fields that nobody knows', async () => {
    expect((await client.query('a', 'x', { unknown: [1, { two: 3 }] })).status).toBe(200)
  })
})

describe('a query string', () => {
  it.each([
    ['/history', "The query string has no 'client_name'. Send, for example, ?client_name=minsu&limit=20"],
    ['/history?client_name=a&client_name=b', "'client_name' must be a string, and is an array."],
    ['/history?client_name=a&limit=many', "'limit' must be an integer, and is a string."],
    ['/history?client_name=a&limit=1', "'limit' must be at least 2."],
  ])('%s is refused with a sentence', async (path, sentence) => {
    const reply = await client.send('GET', path)
    expect([reply.status, reply.body.code]).toEqual([400, 'invalid_request'])
    expect(reply.body.error).toContain(sentence)
  })

  it('pages a history from its end', async () => {
    for (let n = 0; n < 4; n++) await client.query('a', `message ${n}`)
    const page = (await client.history('a', '&limit=4')).body as { content: string; turn_id: string }[]
    expect(page.map(({ content }) => content)).toMatchObject({ 0: 'message 2', 2: 'message 3' })
    const before = (await client.history('a', `&limit=4&before=${page[0]?.turn_id}`)).body
    expect(before.map(({ content }: { content: string }) => content)).toMatchObject({
      0: 'message 0',
      2: 'message 1',
    })
    expect((await client.history('a', '&before=resp_none')).body).toEqual([])
  })
})

describe('what is no request at all', () => {
  it.each([
    ['nonsense', 'hello\r\n\r\n', 400],
    ['headers without end', `GET / HTTP/1.1\r\nhost: localhost\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`, 431],
  ])('%s gets an error and the server lives', async (_, bytes, status) => {
    const reply = await raw(bytes)
    expect(reply).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
    expect(JSON.parse(reply.slice(reply.indexOf('\r\n\r\n')))).toMatchObject({
      request_id: expect.any(String),
    })
    expect((await client.send('GET', '/healthz')).status).toBe(200)
  })

  it('a file that the page has not is a 404, and a header that it cannot serve a 400', async () => {
    for (const path of ['/docs/static/nope.js', '/docs/static/%00', '/docs/static/%2e%2e/package.json']) {
      expect(
        (await raw(`GET ${path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`)).slice(0, 12),
        path,
      ).toMatch(/^HTTP\/1\.1 40[04]$/)
    }
    const range = await fetch(`${server.url}/docs/static/index.css`, {
      headers: { range: 'bytes=99999999-' },
    })
    expect([range.status, server.output()]).toEqual([400, expect.not.stringContaining('"level":"error"')])
  })

  it('an expectation that nobody knows is ignored', async () => {
    const reply = await raw(
      'GET /healthz HTTP/1.1\r\nhost: localhost\r\nexpect: tea\r\nconnection: close\r\n\r\n',
    )
    expect(reply).toMatch(/^HTTP\/1\.1 200 /)
  })

  it('a route that is not there is a 404 in the same shape', async () => {
    for (const [method, path] of [
      ['GET', '/nope'],
      ['GET', '/*nope'],
      ['GET', '/:a(b)nope'],
      ['PUT', '/query'],
      ['POST', '/models'],
    ] as const) {
      const { status, body } = await client.send(method, path)
      expect([status, body.code]).toEqual([404, 'not_found'])
      if (!path.endsWith('nope')) expect(body.error).toMatch(/: this path takes (POST|GET)\.$/)
    }
  })
})
