import { connect } from 'node:net'
import { text as readText } from 'node:stream/consumers'
import { Agent, request } from 'undici'
import { describe, expect, it, onTestFinished } from 'vitest'
import { runToEnd, startServer } from '../support/start-server.ts'
import { startTranscriptUpstream } from '../support/transcript-upstream.ts'

const key = 'operator-key-0123456789'
const page = 'https://app.example.com'

interface Sent {
  readonly method?: 'GET' | 'POST' | 'OPTIONS'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

/** Sends what a browser would, with the headers that `fetch` sets by itself. */
async function send(url: string, path: string, { method = 'GET', headers = {}, body }: Sent = {}) {
  const dispatcher = new Agent()
  onTestFinished(() => dispatcher.close())
  const reply = await request(url + path, { dispatcher, method, headers, body: body ?? null })
  const text = await reply.body.text()
  const isJson = reply.headers['content-type']?.toString().startsWith('application/json') === true
  return {
    status: reply.statusCode,
    headers: reply.headers,
    text,
    body: isJson && text !== '' ? JSON.parse(text) : undefined,
  }
}

const hello = JSON.stringify({ input: 'Hello', client_name: 'a' })
const json = { 'content-type': 'application/json' }

describe('promise 36: the name that is asked for', () => {
  it('is one of this machine, whatever the port, or one that is set', async () => {
    const { url } = await startServer({
      env: {
        DAEHWA_PUBLIC_URL: 'https://Chat.example.com',
        DAEHWA_ALLOWED_HOSTS: 'bot.lan, 10.0.0.7,[fd00::7]',
      },
    })
    const known = ['localhost', 'LOCALHOST:10000', '127.0.0.1:1', '[::1]:10000', 'chat.example.com']
    for (const host of [...known, 'bot.lan:80', '10.0.0.7', '[fd00::7]:10000']) {
      expect((await send(url, '/models', { headers: { host } })).status, host).toBe(200)
    }
    for (const host of [
      'evil.example',
      'localhost.evil.example',
      'evil.example:10000',
      '10.0.0.8',
      'a@localhost',
    ]) {
      const { status, body } = await send(url, '/query', {
        ...{ method: 'POST', headers: { host, ...json }, body: hello },
      })
      expect([status, body.code], host).toEqual([421, 'misdirected_request'])
      expect(body.error).toContain('DAEHWA_ALLOWED_HOSTS')
      expect(body.request_id).toMatch(/^req_/)
    }
    expect((await send(url, '/history?client_name=a')).body).toEqual([])
    for (const path of ['/healthz', '/readyz']) {
      expect((await send(url, path, { headers: { host: '10.1.2.3:10000' } })).status).toBe(200)
    }
  })

  it('is any where a key is asked for, unless names are set', async () => {
    const env = { HOST: '0.0.0.0', DAEHWA_API_KEY: key }
    const headers = { host: 'whatever.example', 'x-api-key': key }
    const open = await startServer({ env })
    const named = await startServer({ env: { ...env, DAEHWA_ALLOWED_HOSTS: 'chat.example.com' } })
    const at = ({ url }: { url: string }) => url.replace('0.0.0.0', '127.0.0.1')
    expect((await send(at(open), '/models', { headers })).status).toBe(200)
    expect((await send(at(named), '/models', { headers })).status).toBe(421)
    expect((await send(at(named), '/readyz', { headers })).status).toBe(200)
    const right = { ...headers, host: 'chat.example.com' }
    expect((await send(at(named), '/models', { headers: right })).status).toBe(200)
  })

  it('is missing or doubled in no request that is answered', async () => {
    const { url } = await startServer()
    for (const [lines, status] of [
      ['GET /models HTTP/1.1\r\n', 421],
      ['GET /models HTTP/1.0\r\n', 421],
      ['GET /models HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\n', 421],
    ] as const) {
      const socket = connect(Number(new URL(url).port), '127.0.0.1')
      socket.write(`${lines}connection: close\r\n\r\n`)
      const reply = await readText(socket)
      expect(reply.slice(9, 12), lines).toBe(String(status))
      expect(reply).toContain('"code":"misdirected_request"')
    }
  })

  it.each([
    [{ DAEHWA_ALLOWED_HOSTS: 'https://bot.lan' }, /DAEHWA_ALLOWED_HOSTS .+ bot\.example\.com/],
    [{ DAEHWA_ALLOWED_HOSTS: 'bot.lan:80' }, /DAEHWA_ALLOWED_HOSTS .+ without a port/],
    [{ DAEHWA_CORS_ORIGINS: '*' }, /DAEHWA_CORS_ORIGINS=\* .+ Name those .+ https:\/\/app\.example\.com/],
    [{ DAEHWA_CORS_ORIGINS: 'null' }, /DAEHWA_CORS_ORIGINS .+ https:\/\/app\.example\.com/],
    [{ DAEHWA_CORS_ORIGINS: `${page}/` }, /DAEHWA_CORS_ORIGINS .+ https:\/\/app\.example\.com/],
  ])('is set as it should be, or the start is refused: %j', async (env, line) => {
    const { code, output } = await runToEnd({ env })
    expect([code, output]).toEqual([1, expect.stringMatching(line)])
    expect(output).toMatch(/^[^\n]+\n$/)
  })
})

describe('promise 36: a page of somebody else', () => {
  it('gets nothing and does nothing, not even with what needs no preflight', async () => {
    const { url } = await startServer({ env: { DAEHWA_PUBLIC_URL: 'https://chat.example.com' } })
    for (const origin of [
      'https://evil.example',
      'null',
      'http://localhost:3000',
      url.replace('http', 'ftp'),
    ]) {
      for (const sent of [
        { method: 'POST', headers: { origin, 'content-type': 'text/plain' }, body: hello },
        { method: 'POST', headers: { origin, ...json }, body: hello },
        { method: 'OPTIONS', headers: { origin, 'access-control-request-method': 'POST' } },
      ] as const) {
        const { status, headers, body } = await send(url, '/query', sent)
        expect([status, body.code], origin).toEqual([403, 'forbidden_origin'])
        expect(body.error).toContain('DAEHWA_CORS_ORIGINS')
        expect(Object.keys(headers).filter((name) => name.startsWith('access-control'))).toEqual([])
      }
      expect((await send(url, '/models', { headers: { origin } })).status).toBe(403)
    }
    expect((await send(url, '/history?client_name=a')).body).toEqual([])
  })

  it('is told from our own, also behind a proxy', async () => {
    const { url } = await startServer({ env: { DAEHWA_PUBLIC_URL: 'https://chat.example.com' } })
    const own = await send(url, '/query', { method: 'POST', headers: { origin: url, ...json }, body: hello })
    expect(own.status).toBe(200)
    expect(own.headers['access-control-allow-origin']).toBeUndefined()
    for (const headers of [
      { origin: 'https://chat.example.com', host: 'chat.example.com' },
      { origin: 'https://chat.example.com' },
      { origin: 'http://localhost', host: 'localhost:80' },
    ]) {
      expect((await send(url, '/models', { headers })).status, headers.origin).toBe(200)
    }
  })

  it('may read and ask when it is allowed to, errors too, and no other', async () => {
    const env = { DAEHWA_CORS_ORIGINS: `${page}, capacitor://localhost`, DAEHWA_API_KEY: key }
    const { url } = await startServer({ env })
    for (const origin of [page, 'capacitor://localhost']) {
      const preflight = await send(url, '/query', {
        method: 'OPTIONS',
        headers: {
          origin,
          'access-control-request-method': 'POST',
          'access-control-request-headers': 'authorization,content-type,idempotency-key',
        },
      })
      expect([preflight.status, preflight.text]).toEqual([204, ''])
      expect(preflight.headers).toMatchObject({
        'access-control-allow-origin': origin,
        'access-control-allow-methods': 'GET, POST, PATCH, DELETE',
        'access-control-allow-headers': 'authorization,content-type,idempotency-key',
        'access-control-max-age': '7200',
      })
      for (const [path, bearer, status] of [
        ['/models', key, 200],
        ['/models', 'wrong', 401],
        ['/nowhere', key, 404],
        ['/history?client_name=%FF', key, 400],
      ] as const) {
        const reply = await send(url, path, { headers: { origin, authorization: `Bearer ${bearer}` } })
        expect(reply.status).toBe(status)
        expect(reply.headers).toMatchObject({ 'access-control-allow-origin': origin, vary: 'Origin' })
        expect(reply.headers['access-control-expose-headers']).toContain('x-request-id, retry-after')
        expect(reply.headers['access-control-allow-credentials']).toBeUndefined()
      }
    }
    const stream = await send(url, '/query', {
      method: 'POST',
      headers: { origin: page, 'x-api-key': key, ...json, accept: 'text/event-stream' },
      body: hello,
    })
    expect(stream.headers).toMatchObject({ 'access-control-allow-origin': page, vary: 'Origin' })
    const other = await send(url, '/models', {
      headers: { origin: 'https://evil.example', 'x-api-key': key },
    })
    expect([other.status, other.headers['vary']]).toEqual([403, 'Origin'])
    expect((await send(url, '/models', { headers: { 'x-api-key': key } })).headers['vary']).toBe('Origin')
  })
})

describe('what browsers are told', () => {
  const always = {
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'cross-origin-resource-policy': 'same-origin',
    'x-frame-options': 'DENY',
  }
  const strict = "default-src 'none'; frame-ancestors 'none'"

  it('stands on every answer, and nothing of a tenant is kept by a cache', async () => {
    const upstream = await startTranscriptUpstream()
    const { url } = await startServer({ env: { OPENAI_BASE_URL: upstream.baseUrl } })
    const post = { method: 'POST', headers: json, body: hello } as const
    const turn = (await send(url, '/query', post)).body.turn_id
    upstream.faults.push({ status: 401 })
    const replies = [
      await send(url, '/query', post),
      await send(url, '/query', post),
      await send(url, '/query', { ...post, headers: { ...json, accept: 'text/event-stream' } }),
      await send(url, '/query', { ...post, headers: { ...json, accept: 'text/plain' } }),
      await send(url, `/turns/${turn}/events`),
      await send(url, '/history?client_name=a'),
      await send(url, '/history'),
      await send(url, '/nowhere'),
      await send(url, '/%FF'),
      await send(url, '/models', { headers: { host: 'evil.example' } }),
      await send(url, '/models', { headers: { origin: 'null' } }),
    ]
    expect(replies.map(({ status }) => status)).toEqual([
      502, 200, 200, 200, 200, 200, 400, 404, 400, 421, 403,
    ])
    for (const { headers, text } of replies) {
      expect(headers, text).toMatchObject({
        ...always,
        'content-security-policy': strict,
        'cache-control': 'no-store',
      })
    }
    expect((await send(url, '/healthz')).headers).toMatchObject(always)
  })

  it('stands also on the answer to what is no request', async () => {
    const { url } = await startServer()
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    socket.write('hello\r\n\r\n')
    const reply = await readText(socket)
    for (const [name, value] of Object.entries(always)) expect(reply).toContain(`\r\n${name}: ${value}\r\n`)
  })

  it('leaves the page at /docs working: with scripts and styles of its own', async () => {
    const { url } = await startServer()
    const docs = await send(url, '/docs/')
    expect(docs.status).toBe(200)
    expect(docs.headers).toMatchObject(always)
    expect(docs.headers['content-security-policy']).toMatch(/^default-src 'self'; .+frame-ancestors 'none'/)
    const script = await send(url, '/docs/static/swagger-ui-bundle.js', { headers: { origin: url } })
    expect([script.status, script.headers['x-content-type-options']]).toEqual([200, 'nosniff'])
    expect(script.headers['content-type']).toContain('javascript')
    expect(script.headers['cache-control']).not.toContain('no-store')
  })
})
