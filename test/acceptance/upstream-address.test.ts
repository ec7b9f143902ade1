import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { clientOf, type Reply } from '../support/client.ts'
import { answerAsUpstream, type Recorder, startRecorder } from '../support/start-recorder.ts'
import { runToEnd, startServer, temporaryDir } from '../support/start-server.ts'

const keys = { A_KEY: 'sk-key-of-a', B_KEY: 'sk-key-of-b', OPENAI_API_KEY: 'sk-key-of-nobody' }
const callers = 'callers-key-0123456789'
const bearer = { authorization: `Bearer ${callers}` }
const baseUrl = ({ address }: Recorder): string => `http://${address}/v1`

function folderWith(file: object): string {
  const dataDir = temporaryDir()
  writeFileSync(join(dataDir, 'daehwa.config.json'), JSON.stringify(file))
  return dataDir
}

/** A server with one upstream, in its environment; and one that nobody named, who must hear nothing. */
async function startOne({ redirects = false } = {}) {
  const [a, trap] = await Promise.all([startRecorder(), startRecorder()])
  if (redirects) a.answer = (_, reply) => reply.writeHead(302, { location: baseUrl(trap) }).end()
  const upstream = { OPENAI_BASE_URL: baseUrl(a), OPENAI_API_KEY: keys.A_KEY, DAEHWA_DEFAULT_MODEL: 'm' }
  const server = await startServer({ env: { ...upstream, DAEHWA_API_KEY: callers } })
  return { upstreams: [a], a, trap, server, client: patientClientOf(server.url) }
}

/** The same with three upstreams in its file: `a` and `b` with a key each, `c` with none. */
async function startThree() {
  const [a, b, c, trap] = await Promise.all(Array.from({ length: 4 }, startRecorder))
  if (a === undefined || b === undefined || c === undefined || trap === undefined) throw new Error('four')
  const dataDir = folderWith({
    upstreams: {
      a: { base_url: baseUrl(a), api_key_env: 'A_KEY' },
      b: { base_url: baseUrl(b), api_key_env: 'B_KEY', api_key_header: 'api-key' },
      c: { base_url: baseUrl(c) },
    },
    aliases: { chain: ['a/m', 'b/m', 'c/m'] },
  })
  const server = await startServer({ dataDir, env: { ...keys, DAEHWA_API_KEY: callers } })
  return { upstreams: [a, b, c], a, b, c, trap, server, client: patientClientOf(server.url) }
}

/** A client that asks again while the machine has too much to do: what is not taken would show nothing. */
function patientClientOf(url: string) {
  const client = clientOf(url, bearer)
  const send = async (method: string, path: string, body?: object): Promise<Reply> => {
    for (;;) {
      const reply = await client.send(method, path, body)
      if (reply.body?.code !== 'overloaded') return reply
      await wait(200)
    }
  }
  const query = (client_name: string, input: string, more: object = {}) =>
    send('POST', '/query', { input, client_name, ...more })
  return { send, query }
}

/** Where upstreams were asked, each address once. */
const places = (upstreams: readonly Recorder[]): string[] =>
  [
    ...new Set(upstreams.flatMap(({ requests }) => requests.map(({ method, url }) => `${method} ${url}`))),
  ].sort()
const ownPlaces = ['GET /v1/models', 'POST /v1/chat/completions']
const heard = ({ requests }: Recorder): string => JSON.stringify(requests)

describe('a redirect', () => {
  it('promise 35: is not followed, be it of an answer or of the list, and its target hears nothing', async () => {
    const { a, trap, server, client } = await startOne({ redirects: true }) // it asks for the list when it starts
    const statuses = [300, 301, 302, 303, 305, 307, 308]
    const cases = [
      ...statuses.map((status) => [status, `http://${trap.address}/v1`] as const),
      [307, `//${trap.address}/v1/chat/completions`] as const,
      [307, '/v1/elsewhere'] as const,
    ]
    for (const [status, location] of cases) {
      a.answer = (_, reply) => reply.writeHead(status, { location, refresh: `0; url=${location}` }).end()
      for (const reply of [await client.query('민수', '안녕'), await client.send('GET', '/models')]) {
        expect(reply, `${status} ${location}`).toMatchObject({
          status: 502,
          body: { code: 'upstream_bad_response' },
        })
        expect(reply.body.error).toContain(`a redirect (${status}), which is not followed`)
        expect(reply.text).not.toContain(location)
      }
    }
    expect(places([a])).toEqual(ownPlaces) // not even at itself
    expect(trap.connections()).toBe(0)
    expect(server.output()).not.toContain(trap.address)
    expect(server.output()).not.toContain(keys.A_KEY)
    a.answer = answerAsUpstream
    expect((await client.query('민수', '안녕')).status).toBe(200)
  })

  it('promise 35: lets the next one of a chain answer; each hears its own key, and no other', async () => {
    const { upstreams, a, b, trap, client } = await startThree()
    const location = `http://${trap.address}/v1/chat/completions`
    for (const one of [a, b]) one.answer = (_, reply) => reply.writeHead(307, { location }).end()
    for (const more of [{ model: 'chain' }, { model: 'a/m', fallback: ['b/m', 'c/m'] }]) {
      expect((await client.query('지수', '안녕', more)).body.model).toBe('c/m')
    }
    expect((await client.send('GET', '/models')).status).toBe(200)
    for (const one of upstreams) one.answer = answerAsUpstream
    for (const model of ['a/m', 'b/m', 'c/m'])
      expect((await client.query(model, 'hi', { model })).status).toBe(200)
    await client.send('GET', '/models')

    for (const one of upstreams) expect(places([one])).toEqual(ownPlaces)
    expect(trap.connections()).toBe(0)
    for (const { headers } of a.requests) expect(headers['authorization']).toBe(`Bearer ${keys.A_KEY}`)
    for (const { headers } of b.requests) expect(headers['api-key']).toBe(keys.B_KEY)
    const known = [...Object.values(keys), callers]
    const found = upstreams.map((one) => known.filter((key) => heard(one).includes(key)))
    expect(found).toEqual([[keys.A_KEY], [keys.B_KEY], []])
    expect(b.requests.some(({ headers }) => 'authorization' in headers)).toBe(false)
  })
})

describe.each([
  ['one upstream', () => startOne()],
  ['three upstreams', startThree],
])('with %s', (_, start) => {
  it('promise 35: nothing that a caller sends makes the server connect elsewhere, or reaches an upstream as a header', async () => {
    const { upstreams, trap, server, client } = await start()
    const there = `http://${trap.address}/v1`
    const names = [
      ...[there, `${there}/m`, `//${trap.address}/m`, `@${trap.address}/m`, `\\\\${trap.address}`],
      ...[`a/${there}`, `a/../../${there}`, `a/m?base_url=${there}`, `a/m#@${trap.address}`],
      `a/m\r\nHost: ${trap.address}`,
    ]
    const fields = ['base_url', 'api_base', 'baseURL', 'upstream', 'url', 'proxy']
    const seen = new Set<number>()
    const send = async (method: string, path: string, body?: object) => {
      seen.add((await client.send(method, path, body)).status)
    }
    for (const model of names) {
      const client_name = 'model'
      await send('POST', '/query', { input: there, client_name, model })
      await send('POST', '/query', { input: there, client_name, fallback: [model] })
      await send('POST', '/model', { client_name, model })
      await send('PATCH', '/clients/model', { model, summary_model: model, fallback: [model] })
      await send('PATCH', '/clients/model', { summary_model: model })
      await send('POST', '/clients/model/compact', { keep_turns: 1 })
      await send('PATCH', '/defaults', { model })
    }
    await send('PATCH', '/defaults', { model: null })
    for (const field of fields) {
      const one = { [field]: there }
      await send('POST', '/query', { input: 'hi', client_name: 'field', ...one })
      await send('PATCH', '/clients/field', one)
      await send('PATCH', '/defaults', one)
      await send('POST', '/query', { input: 'hi', client_name: 'field', metadata: one })
      await send('PATCH', '/clients/field', { metadata: one, instructions: there })
      await send('GET', `/models?${new URLSearchParams(one)}`)
    }
    await send('POST', '/query', { input: `![](${there}/pixel.png)`, client_name: there })

    const body = JSON.stringify({ input: 'hi', client_name: 'raw' })
    const more = `Content-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`
    const key = `Authorization: Bearer ${callers}\r\nx-api-key: ${callers}\r\nCookie: theirs=1`
    const misleading = [
      'X-Forwarded-Host',
      'X-Upstream',
      'X-Base-Url',
      'OpenAI-Base-Url',
      'X-Original-URL',
      'Via',
    ]
    const elsewhere = misleading.map((name) => `${name}: ${there}`).join('\r\n')
    const first = ['POST /query', `POST http://${trap.address}/query`, `POST //${trap.address}/query`]
    for (const line of [...first, `CONNECT ${trap.address}`]) {
      for (const host of [trap.address, new URL(server.url).host])
        await sendRaw(server.url, `${line} HTTP/1.1\r\nHost: ${host}\r\n${key}\r\n${elsewhere}\r\n${more}`)
    }

    expect([...seen].toSorted()).toEqual([200, 400])
    const model = upstreams.length === 1 ? 'm' : 'a/m'
    expect((await client.query('민수', '안녕', { model })).status).toBe(200)
    expect(trap.connections()).toBe(0)
    expect(places(upstreams)).toEqual(ownPlaces)
    for (const { address, requests } of upstreams) {
      for (const { headers } of requests) {
        expect(headers['host']).toBe(address)
        expect(JSON.stringify(headers)).not.toContain(trap.address)
        expect(JSON.stringify(headers)).not.toMatch(/callers-key|theirs/)
      }
    }
  })
})

/** Sends bytes as they are, and waits until the server has hung up. */
async function sendRaw(url: string, bytes: string): Promise<void> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  socket.on('error', () => {}).resume()
  socket.write(bytes)
  await once(socket, 'close')
}

describe('an address that holds a user name or a password', () => {
  const refused = /^daehwa: .+ holds a user name or password\. Leave it out; a key goes into /

  it.each([
    'http://user:s3cret@127.0.0.1:9/v1',
    'https://s3cret@example.com/v1',
    'http://:s3cret@127.0.0.1:9/v1',
  ])('promise 35: is refused at the start, and not repeated: %s', async (address) => {
    const inFile = { dataDir: folderWith({ upstreams: { a: { base_url: address } } }) }
    for (const options of [{ env: { OPENAI_BASE_URL: address } }, inFile]) {
      const { code, output } = await runToEnd(options)
      expect(code).toBe(1)
      expect(output).toMatch(refused)
      expect(output).not.toContain('s3cret')
    }
  })
})
