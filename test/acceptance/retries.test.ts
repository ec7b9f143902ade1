import { describe, expect, it } from 'vitest'
import { clientOf } from '../support/client.ts'
import { startServer } from '../support/start-server.ts'
import { type Fault, startTranscriptUpstream } from '../support/transcript-upstream.ts'

async function start(env: Record<string, string> = {}) {
  const upstream = await startTranscriptUpstream()
  const server = await startServer({ env: { OPENAI_BASE_URL: upstream.baseUrl, ...env } })
  return { upstream, client: clientOf(server.url) }
}

const times = (count: number, fault: Fault): Fault[] => Array(count).fill(fault)

describe('promise 17: the upstream is asked again', () => {
  it.each([
    ['500', { status: 500 }],
    ['503', { status: 503 }],
    ['429 with a short Retry-After', { status: 429, headers: { 'retry-after': '1' } }],
    ['a connection that breaks off before the answer', { cutAfter: 0 }],
  ])('after %s, and the client notices nothing', async (_, fault) => {
    const { upstream, client } = await start()
    upstream.faults.push(...times(2, fault))
    expect((await client.query('a', 'hi')).status).toBe(200)
    expect(upstream.journal).toHaveLength(3)
    expect((await client.history('a')).body).toHaveLength(2)
  })

  it('twice at most, and then clients are told not to try again themselves', async () => {
    const { upstream, client } = await start()
    upstream.faults.push(...times(9, { status: 500 }))
    const reply = await client.query('a', 'hi')
    expect([reply.status, reply.body.code, reply.headers.get('x-should-retry')]).toEqual([
      502,
      'upstream_error',
      'false',
    ])
    expect(upstream.journal).toHaveLength(3)
  })

  it.each([
    ['the first word', { cutAfter: 1 }],
    ['a refusal', { status: 400 }],
    ['a wrong key', { status: 401 }],
    ['a long Retry-After', { status: 429, headers: { 'retry-after': '60' } }],
    ['no credit', { status: 402 }],
  ])('never after %s', async (_, fault) => {
    const { upstream, client } = await start()
    upstream.faults.push(fault)
    expect((await client.query('a', 'hi')).status).not.toBe(200)
    expect(upstream.journal).toHaveLength(1)
  })

  it('never past the deadline of the turn', async () => {
    const { upstream, client } = await start({ DAEHWA_TURN_TIMEOUT_MS: '800' })
    await client.model('a')
    upstream.faults.push(...times(3, { status: 500, delay: 300 }))
    const begin = performance.now()
    expect((await client.query('a', 'hi')).body.code).toBe('upstream_timeout')
    expect(performance.now() - begin).toBeLessThan(1_800)
    expect(upstream.journal).toHaveLength(2)
  })
})

it('lets go of the upstream as soon as the answer is whole, though it keeps the connection', async () => {
  const { upstream, client } = await start()
  await client.send('PATCH', '/defaults', { compaction: 'off' }) // a summary would be one more request
  upstream.faults.push({ say: '', stallAfter: 4 }, { say: 'x'.repeat(9_000_000), stallAfter: 1 })
  expect((await client.query('a', 'hi')).status).toBe(200)
  expect((await client.query('a', 'hi')).body.incomplete).toBe('max_output_bytes')
  await expect
    .poll(() => upstream.journal.map(({ closedEarly }) => closedEarly), { timeout: 3_000 })
    .toEqual([true, true])
})

describe('promise 18: an upstream that fails most of the time', () => {
  it('is left alone: 503 in a moment, one probe after 5 seconds, and then it is back', async () => {
    const { upstream, client } = await start()
    upstream.faults.push(...times(60, { status: 500 }))
    const names = Array.from({ length: 10 }, (_, n) => `client ${n}`)
    await Promise.all(names.map((name) => client.query(name, 'hi')))
    const asked = upstream.journal.length
    expect(asked).toBeGreaterThanOrEqual(20)
    const durations: number[] = []
    for (const name of names) {
      const begin = performance.now()
      const reply = await client.query(name, 'hi')
      durations.push(performance.now() - begin)
      expect([reply.status, reply.body.code]).toEqual([503, 'upstream_unavailable'])
      expect(reply.headers.get('retry-after')).toBe('5')
    }
    expect(Math.min(...durations)).toBeLessThan(10) // others use this machine too
    expect(upstream.journal).toHaveLength(asked)

    upstream.faults.length = 0
    await new Promise((resolve) => setTimeout(resolve, 5_100))
    upstream.faults.push({ stallAfter: 0 })
    const probe = await client.query('probe', 'hi', { background: true })
    await upstream.arrived(asked + 1)
    const begin = performance.now()
    expect((await client.query('behind the probe', 'hi')).status).toBe(503)
    expect(performance.now() - begin).toBeLessThan(500)
    const cancelled = await client.send('POST', `/turns/${probe.body.id}/cancel`)
    expect(cancelled.body.status).toBe('cancelled')
    expect((await client.query('a', 'hi')).status).toBe(503) // a probe without a verdict closes nothing
    expect(upstream.journal).toHaveLength(asked + 1)

    await new Promise((resolve) => setTimeout(resolve, 5_100))
    expect((await client.query('a', 'back')).status).toBe(200)
    const replies = await Promise.all(names.map((name) => client.query(name, 'back')))
    expect(replies.every(({ status }) => status === 200)).toBe(true)
  }, 40_000)
})
