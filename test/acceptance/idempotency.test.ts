import { describe, expect, it } from 'vitest'
import { clientOf } from '../support/client.ts'
import { readEvents, textOf } from '../support/events.ts'
import { startServer, temporaryDir } from '../support/start-server.ts'
import { startTranscriptUpstream } from '../support/transcript-upstream.ts'

async function start() {
  const upstream = await startTranscriptUpstream()
  const options = { dataDir: temporaryDir(), env: { OPENAI_BASE_URL: upstream.baseUrl } }
  return { upstream, options, server: await startServer(options) }
}

const keyed = (url: string, key = 'key-1') => clientOf(url, { 'idempotency-key': key })

describe('promise 7: one Idempotency-Key', () => {
  it('sent 20 times at once is one message, and all get the same bytes', async () => {
    const { upstream, server, options } = await start()
    upstream.faults.push({ delay: 300 })
    const all = await Promise.all(Array.from({ length: 20 }, () => keyed(server.url).query('민수', 'once')))
    expect(upstream.journal).toHaveLength(1)
    expect(new Set(all.map(({ status, text }) => `${status} ${text}`)).size).toBe(1)
    expect(all.filter(({ headers }) => headers.get('idempotency-replayed') === 'true')).toHaveLength(19)
    expect((await clientOf(server.url).history('민수')).body).toHaveLength(2)

    await server.end('SIGKILL')
    const again = await startServer(options)
    const later = await keyed(again.url).query('민수', 'once')
    expect([later.text, later.headers.get('idempotency-replayed')]).toEqual([all[0]?.text, 'true'])
    expect(upstream.journal).toHaveLength(1)
  })

  it('joins the running turn also as a stream, and replays it', async () => {
    const { upstream, server } = await start()
    upstream.faults.push({ say: 'one two three four', pause: 50 })
    const init = {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': 'k' },
      body: '{"input":"hi","client_name":"a","stream":true}',
    }
    const [first, second] = await Promise.all([1, 2].map(() => readEvents(`${server.url}/query`, init)))
    const third = await readEvents(`${server.url}/query`, init)
    expect(textOf(third.events)).toBe('one two three four')
    expect([first, second]).toEqual([third, third])
    expect(upstream.journal).toHaveLength(1)
  })
})

describe('promise 8: a key that was sent before', () => {
  it('with another body is a 422, and with the same in another order it is the same', async () => {
    const { server } = await start()
    const client = keyed(server.url)
    const first = await client.send('POST', '/query', '{"input":"one","client_name":"a"}')
    const other = await client.query('a', 'two')
    expect([other.status, other.body.code]).toEqual([422, 'idempotency_key_reused'])
    const turned = await client.send('POST', '/query', '{ "client_name": "a", "input": "one" }')
    expect(turned.text).toBe(first.text)
    expect((await client.query('b', 'one')).status).toBe(422)
    expect((await clientOf(server.url).history('a')).body).toHaveLength(2)
  })

  it('runs again, as the same turn, after a failure that may pass', async () => {
    const { upstream, server } = await start()
    upstream.faults.push({ status: 401 })
    const failed = await keyed(server.url).query('a', 'hi', { background: true })
    await expect
      .poll(async () => (await clientOf(server.url).send('GET', `/turns/${failed.body.id}`)).body.status)
      .toBe('failed')
    const again = await keyed(server.url).query('a', 'hi', { background: true })
    expect([again.body.id, again.headers.get('idempotency-replayed')]).toEqual([failed.body.id, null])
    await expect
      .poll(async () => (await clientOf(server.url).send('GET', `/turns/${failed.body.id}`)).body.status)
      .toBe('completed')
    expect((await clientOf(server.url).history('a')).body).toHaveLength(2)
  })

  it('runs again, as the same turn, after kill -9 in mid-stream', async () => {
    const { upstream, server, options } = await start()
    upstream.faults.push({ stallAfter: 2 })
    const cut = await keyed(server.url).query('a', 'hi', { background: true })
    await upstream.arrived(1)
    await server.end('SIGKILL')

    const second = await startServer(options)
    const client = clientOf(second.url)
    expect((await client.send('GET', `/turns/${cut.body.id}`)).body).toMatchObject({
      status: 'failed',
      error: { code: 'server_restarted' },
    })
    expect((await client.history('a')).body).toEqual([])
    expect(upstream.journal).toHaveLength(1)
    const from = { headers: { 'last-event-id': '23' } } // a number that only the killed process had given
    const { events } = await readEvents(`${second.url}/turns/${cut.body.id}/events`, from)
    expect(events.map(({ id, event }) => [id, event])).toEqual([[24, 'response.failed']])
    const init = {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': 'key-1' },
    }
    const body = JSON.stringify({ input: 'hi', client_name: 'a', background: true })
    const again = await fetch(`${second.url}/query`, { ...init, body })
    expect(((await again.json()) as { id: string }).id).toBe(cut.body.id)
    await expect.poll(async () => (await client.history('a')).body.length).toBe(2)
    expect((await client.history('a')).body[0].turn_id).toBe(cut.body.id)
  })

  it.each([['has spaces in it'], ['x'.repeat(256)], ['']])('must be a key: %j is refused', async (key) => {
    const { server } = await start()
    const reply = await keyed(server.url, key).query('a', 'hi')
    expect([reply.status, reply.body.code]).toEqual([400, 'invalid_request'])
  })
})
