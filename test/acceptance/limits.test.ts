import { describe, expect, it } from 'vitest'
import { clientOf } from '../support/client.ts'
import { readEvents } from '../support/events.ts'
import { startCluster } from '../support/start-cluster.ts'
import { postgresForTests } from '../support/start-postgres.ts'
import { startRedis } from '../support/start-redis.ts'
import { type RunningServer, startServer } from '../support/start-server.ts'
import { startTranscriptUpstream } from '../support/transcript-upstream.ts'

const operatorKey = 'operator-key-0123456789'
const postgres = postgresForTests()
const as = (url: string, key: string) => clientOf(url, { authorization: `Bearer ${key}` })
const env = { DAEHWA_API_KEY: operatorKey, DAEHWA_CONTEXT_WINDOW: '1000000' }
const day = 24 * 60 * 60

async function onSqlite() {
  const upstream = await startTranscriptUpstream()
  const { url } = await startServer({ env: { OPENAI_BASE_URL: upstream.baseUrl, ...env } })
  return { upstream, urls: [url, url] as const }
}

async function onPostgres() {
  const { upstream, servers } = await startCluster(postgres, 2, { ...env, DAEHWA_LEASE_MS: '30000' })
  const [a, b] = servers as [RunningServer, RunningServer]
  return { upstream, urls: [a.url, b.url] as const }
}

async function newKey(url: string, wish: object) {
  const made = await as(url, operatorKey).send('POST', '/admin/keys', { tenant: 'acme', ...wish })
  expect(made.status, made.text).toBe(201)
  return made.body as { id: string; key: string }
}

const usageOf = async (url: string, key: string, query = '') =>
  (await as(url, key).send('GET', `/usage${query}`)).body.usage

const total = (rows: readonly { input_tokens: number; output_tokens: number }[]) =>
  rows.reduce((sum, row) => sum + row.input_tokens + row.output_tokens, 0)

describe.each([
  ['SQLite', onSqlite],
  ['Postgres, two instances', onPostgres],
])('budgets over %s', (_name, start) => {
  it('refuse the message that would pass the day of its key, and no other key', async () => {
    const { urls, upstream } = await start()
    const [a, b] = urls
    const { key, id } = await newKey(a, { tokens_per_day: 3_000 })
    const { key: other } = await newKey(a, {})
    upstream.faults.push({ usage: [500, 1_000] })
    expect((await as(a, key).query('민수', 'hi')).status).toBe(200)
    const refused = await as(b, key).query('민수', 'hi', { max_output_tokens: 1_000 })
    expect(refused).toMatchObject({ status: 429, body: { code: 'quota_exceeded' } })
    expect(refused.body.error).toMatch(/^This key may use 3000 tokens a day\. 1500 are used or reserved, /)
    const wait = Number(refused.headers.get('retry-after'))
    expect(wait).toBeGreaterThan(0)
    expect(wait).toBeLessThanOrEqual(day)
    expect((await as(b, other).query('민수', 'hi')).status).toBe(200)
    expect((await as(b, key).query('지수', 'hi', { max_output_tokens: 100 })).status).toBe(200)
    expect(upstream.journal).toHaveLength(3)
    const limited = await as(b, operatorKey).send('PATCH', `/admin/keys/${id}`, { tokens_per_day: null })
    expect(limited.body.limits).toEqual({})
    await expect
      .poll(async () => (await as(a, key).query('민수', 'hi')).status, { timeout: 5_000, interval: 500 })
      .toBe(200)
  })

  it('hold back what running messages may use, and give it back when they end', async () => {
    const { urls, upstream } = await start()
    const [a, b] = urls
    const { key } = await newKey(a, { tokens_per_month: 3_000 })
    upstream.faults.push({ stallAfter: 2 })
    const running = await as(a, key).query('one', 'hi', { background: true, max_output_tokens: 2_000 })
    await upstream.arrived(1)
    const refused = await as(b, key).query('two', 'hi', { max_output_tokens: 2_000 })
    expect(refused).toMatchObject({ status: 429, body: { code: 'quota_exceeded' } })
    await as(b, key).send('POST', `/turns/${running.body.id}/cancel`)
    await expect
      .poll(async () => (await as(b, key).query('two', 'hi', { max_output_tokens: 2_000 })).status)
      .toBe(200)
  })

  it('let no more in at once than there is room for, however many come', async () => {
    const { urls, upstream } = await start()
    const { key } = await newKey(urls[0], { tokens_per_day: 10_000 })
    upstream.faultAt = () => ({ delay: 1_500 })
    const all = await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        as(urls[n % 2] ?? '', key).query(`client ${n}`, 'hi', { max_output_tokens: 2_400 }),
      ),
    )
    expect(all.filter(({ status }) => status === 200)).toHaveLength(4)
    expect(all.filter(({ status }) => status === 429)).toHaveLength(16)
  })

  it('are those of each client where they say so', async () => {
    const { urls, upstream } = await start()
    const { key } = await newKey(urls[0], { client_tokens_per_day: 2_000 })
    upstream.faults.push({ usage: [500, 1_000] })
    expect((await as(urls[0], key).query('민수', 'hi')).status).toBe(200)
    expect((await as(urls[1], key).query('민수', 'hi')).body.code).toBe('quota_exceeded')
    expect((await as(urls[1], key).query('지수', 'hi')).status).toBe(200)
  })

  it('charge a client that hangs up in mid-stream what it used, marked as counted here', async () => {
    const { urls, upstream } = await start()
    const { key } = await newKey(urls[0], {})
    upstream.faults.push({ say: 'one two three four five six', stallAfter: 4 })
    await readEvents(
      `${urls[0]}/query`,
      {
        method: 'POST',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
        body: JSON.stringify({
          ...{ client_name: '민수', input: 'count to six', stream: true },
          on_disconnect: 'cancel',
        }),
      },
      6,
    )
    await expect.poll(async () => (await usageOf(urls[1], key)).length, { timeout: 5_000 }).toBe(1)
    const [row] = await usageOf(urls[1], key)
    expect(row).toMatchObject({ model: 'transcript', turns: 1, estimated_turns: 1 })
    expect(row.input_tokens).toBeGreaterThan(2)
    expect(row.output_tokens).toBeGreaterThan(0)
  })

  it('charge what a cleared history had used, and nothing for what an upstream refused', async () => {
    const { urls, upstream } = await start()
    const { key } = await newKey(urls[0], {})
    upstream.faults.push({ status: 400 })
    expect((await as(urls[0], key).query('민수', 'hi')).status).toBe(502)
    expect(await usageOf(urls[0], key)).toEqual([])
    upstream.faults.push({ stallAfter: 3 })
    await as(urls[0], key).query('민수', 'hi', { background: true })
    await upstream.arrived(2)
    await new Promise((resolve) => setTimeout(resolve, 300))
    await as(urls[1], key).clear('민수')
    await as(urls[1], key).clear('민수')
    await expect.poll(async () => total(await usageOf(urls[1], key)), { timeout: 5_000 }).toBeGreaterThan(3)
  })

  it('charge a message that is cancelled before its first word what had gone to the model', async () => {
    const { urls, upstream } = await start()
    const { key } = await newKey(urls[0], {})
    upstream.faults.push({ delay: 10_000 })
    const turn = await as(urls[0], key).query('민수', 'word '.repeat(5_000), { background: true })
    await upstream.arrived(1)
    await as(urls[1], key).send('POST', `/turns/${turn.body.id}/cancel`)
    await expect.poll(async () => (await usageOf(urls[1], key)).length, { timeout: 5_000 }).toBe(1)
    const [row] = await usageOf(urls[1], key)
    expect(row).toMatchObject({ turns: 1, estimated_turns: 1, output_tokens: 0 })
    expect(row.input_tokens).toBeGreaterThan(4_500)
    expect(row.input_tokens).toBeLessThan(5_500)
  })

  it('reserve what instructions take, and what an earlier message took of which the upstream said nothing', async () => {
    const { urls, upstream } = await start()
    const { key } = await newKey(urls[0], { tokens_per_day: 20_000 })
    const instructions = 'word '.repeat(20_000)
    const refused = await as(urls[0], key).query('민수', 'hi', { instructions })
    expect(refused).toMatchObject({ status: 429, body: { code: 'quota_exceeded' } })
    const { key: free } = await newKey(urls[0], {})
    upstream.faults.push({ usage: null })
    expect((await as(urls[0], free).query('지수', 'word '.repeat(25_000))).status).toBe(200)
    expect((await as(urls[1], key).query('지수', 'hi')).body.code).toBe('quota_exceeded')
    expect((await as(urls[1], key).query('새 이름', 'hi')).status).toBe(200)
  })

  it('of a client count what its messages hold, whichever keys they came with', async () => {
    const { urls, upstream } = await start()
    const made = [1, 2].map(() => newKey(urls[0], { client_tokens_per_day: 3_000 }))
    const keys = (await Promise.all(made)).map(({ key }) => key)
    upstream.faultAt = () => ({ stallAfter: 2 })
    const ask = { background: true, max_output_tokens: 2_000 }
    const replies = await Promise.all(keys.map((key, n) => as(urls[n] ?? '', key).query('민수', 'hi', ask)))
    expect(replies.map(({ status }) => status).sort()).toEqual([202, 429])
  })

  it('are counted by every message that is answered, once', async () => {
    const { urls, upstream } = await start()
    const { key, id } = await newKey(urls[0], {})
    upstream.faultAt = () => ({ usage: [3, 4] })
    const send = (n: number) => as(urls[n % 2] ?? '', key).query(`client ${n % 5}`, 'hi')
    const replies = await Promise.all(Array.from({ length: 30 }, (_, n) => send(n)))
    expect(replies.map(({ status }) => status)).toEqual(Array(30).fill(200))
    const rows = await usageOf(urls[0], key, '?by=client_name,key,day')
    expect(rows).toHaveLength(5)
    for (const row of rows) {
      expect(row).toMatchObject({
        ...{
          turns: 6,
          input_tokens: 18,
          output_tokens: 24,
          estimated_turns: 0,
          key: id,
          model: 'transcript',
        },
        day: new Date().toISOString().slice(0, 10),
      })
    }
  })

  it('charge once whatever went to a model, however much is cancelled, cleared, erased and interrupted', async () => {
    const { urls, upstream } = await start()
    const limits = { tokens_per_day: 1e9, client_tokens_per_day: 1e9, turns_at_once: 1_000 }
    const { key } = await newKey(urls[0], limits)
    upstream.faultAt = () => ({ usage: [3, 4], delay: (upstream.journal.length * 37) % 60 })
    const statuses: number[] = []
    const work = async (n: number) => {
      for (let i = 0; i < 20; i++) {
        const client = as(urls[(n + i) % 2] ?? '', key)
        const [name, what] = [`client ${(n + i) % 5}`, (n * 7 + i) % 20]
        if (what === 0) await client.clear(name)
        if (what === 1) await client.send('DELETE', `/clients/${encodeURIComponent(name)}`)
        const more = what < 6 ? { background: true } : what < 10 ? { multitask_strategy: 'interrupt' } : {}
        const { status, body } = await client.query(name, 'hi', more)
        statuses.push(status)
        if (status === 202 && what > 2) await client.send('POST', `/turns/${body.id}/cancel`)
      }
    }
    await Promise.all(Array.from({ length: 10 }, (_, n) => work(n)))
    expect(statuses.filter((status) => status >= 500)).toEqual([])
    expect(statuses.filter((status) => status === 200).length).toBeGreaterThan(30)
    const turns = async () =>
      (await usageOf(urls[0], key)).reduce((sum: number, row: { turns: number }) => sum + row.turns, 0)
    const came = upstream.journal.length
    expect(came).toBeGreaterThan(50)
    await expect.poll(turns, { timeout: 5_000 }).toBeGreaterThanOrEqual(came)
    expect((await turns()) - came).toBeLessThan(4) // those that were cancelled between our socket and theirs
  })

  it('limit how many messages a key has at once, over all instances', async () => {
    const { urls, upstream } = await start()
    const { key } = await newKey(urls[0], { turns_at_once: 2 })
    upstream.faultAt = () => ({ stallAfter: 2 })
    for (const n of [0, 1]) {
      const { status } = await as(urls[n] ?? '', key).query(`client ${n}`, 'hi', { background: true })
      expect(status).toBe(202)
    }
    const refused = await as(urls[1], key).query('another', 'hi')
    expect(refused).toMatchObject({ status: 429, body: { code: 'rate_limited' } })
    expect(refused.headers.get('retry-after')).toBe('1')
  })
})

describe('requests a minute', () => {
  const spend = async (urls: readonly string[], key: string, count: number) => {
    const statuses: number[] = []
    for (let n = 0; n < count; n++)
      statuses.push((await as(urls[n % urls.length] ?? '', key).send('GET', '/models')).status)
    return statuses
  }

  it('are counted for each key, told in the headers, and refused with the time to wait', async () => {
    const { urls } = await onSqlite()
    const { key } = await newKey(urls[0], { requests_per_minute: 3 })
    const first = await as(urls[0], key).send('GET', '/models')
    expect(first.headers.get('ratelimit-policy')).toBe('"requests";q=3;w=60')
    expect(first.headers.get('ratelimit')).toMatch(/^"requests";r=2;t=(60|[1-5]?\d)$/)
    expect(await spend(urls, key, 3)).toEqual([200, 200, 429])
    const refused = await as(urls[0], key).query('민수', 'hi')
    expect(refused).toMatchObject({ status: 429, body: { code: 'rate_limited' } })
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
    expect((await as(urls[0], operatorKey).send('GET', '/models')).headers.get('ratelimit')).toBeNull()
  })

  it('are counted in Redis for all instances, and in each of them when Redis dies', async () => {
    const redis = await startRedis()
    const { servers } = await startCluster(postgres, 2, { ...env, REDIS_URL: redis.url })
    const urls = servers.map(({ url }) => url)
    for (const { output } of servers) await expect.poll(output).toContain('Redis answers')
    const { key } = await newKey(urls[0] ?? '', { requests_per_minute: 6 })
    expect(await spend(urls, key, 8)).toEqual([200, 200, 200, 200, 200, 200, 429, 429])
    await redis.kill()
    expect(await spend(urls, key, 14)).toEqual([...Array(12).fill(200), 429, 429])
  })
})
