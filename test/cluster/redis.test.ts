import { setTimeout as wait } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { expect, it, onTestFinished } from 'vitest'
import { clientOf } from '../support/client.ts'
import { readEvents, textOf } from '../support/events.ts'
import { length } from '../support/full-length.ts'
import { expectWhole, statuses, underLoad } from '../support/load.ts'
import { startCluster } from '../support/start-cluster.ts'
import { postgresForTests } from '../support/start-postgres.ts'
import { startRedis } from '../support/start-redis.ts'
import type { RunningServer } from '../support/start-server.ts'

const postgres = postgresForTests()

/** Two instances with a Redis, or without one. */
async function two({ withRedis = true } = {}) {
  const redis = withRedis ? await startRedis() : undefined
  const cluster = await startCluster(postgres, 2, redis && { REDIS_URL: redis.url })
  const [a, b] = cluster.servers as [RunningServer, RunningServer]
  if (redis !== undefined)
    await expect.poll(() => `${a.output()}${b.output()}`).toMatch(/Redis answers.*Redis answers/s)
  return { ...cluster, a: { ...a, client: clientOf(a.url) }, b: { ...b, client: clientOf(b.url) }, redis }
}

/** The events of a turn, and when each of them came. */
async function timed(url: string, id: string) {
  const at: number[] = []
  const read = await readEvents(`${url}/turns/${id}/events`, {}, undefined, () => at.push(performance.now()))
  return { ...read, at }
}

/** How long after A said them the events of a turn came at B, in milliseconds, `during` a stream of 30 words in 3 s. */
async function lags({ a, b, upstream }: Awaited<ReturnType<typeof two>>, during = async () => {}) {
  const said = Array.from({ length: 30 }, (_, n) => `word${n} `).join('')
  upstream.faults.push({ say: said, pause: 100 })
  const { body } = await a.client.query('민수', 'speak', { background: true })
  const [here, there] = [timed(a.url, body.id), timed(b.url, body.id)]
  await during()
  const [first, second] = await Promise.all([here, there])
  expect(second.events).toEqual(first.events)
  expect([textOf(second.events), second.done]).toEqual([said, true])
  return second.at.map((at, n) => Math.round(at - (first.at[n] ?? 0)))
}

const longest = (all: readonly number[]) => Math.max(...all)

it('with Redis the words of a turn come at another instance as they come at its own', async () => {
  const cluster = await two()
  const all = await lags(cluster)
  process.stderr.write(`with Redis: ${longest(all)} ms behind at most\n`)
  expect(longest(all.slice(2))).toBeLessThan(200) // the first two are read from the database
})

it('without Redis the words of a turn come at another instance at most 1 s later', async () => {
  const cluster = await two({ withRedis: false })
  const all = await lags(cluster)
  process.stderr.write(`without Redis: ${longest(all)} ms behind at most\n`)
  expect(longest(all)).toBeLessThan(1_000)
})

it.each([
  ['killed', (redis: Awaited<ReturnType<typeof startRedis>>) => redis.kill()],
  [
    'stopped, and answers nothing',
    async ({ process }: { process: { kill(signal: 'SIGSTOP'): boolean } }) => void process.kill('SIGSTOP'),
  ],
])(
  'promise 13: Redis is %s in mid-stream: nothing is lost, and readers go on by the database',
  async (how, stop) => {
    const cluster = await two()
    const { redis } = cluster
    if (redis === undefined) throw new Error('it was started')
    const all = await lags(cluster, async () => {
      await wait(1_000)
      await stop(redis)
    })
    process.stderr.write(`Redis ${how}: ${longest(all)} ms behind at most\n`)
    expect(longest(all)).toBeLessThan(how === 'killed' ? 1_000 : 2_000)
    await redis.kill()
    await redis.start()
    for (const { output } of [cluster.a, cluster.b])
      await expect.poll(() => output().match(/Redis answers/g)?.length, { timeout: 5_000 }).toBe(2)
    expect(longest((await lags(cluster)).slice(2))).toBeLessThan(200)
  },
)

it('promise 13: Redis is killed again and again under load: what was answered is there once', async () => {
  const kills = length('kills of Redis', { full: 30, short: 3 })
  const redis = await startRedis()
  const cluster = await startCluster(postgres, 3, { REDIS_URL: redis.url })
  const workers = await underLoad(cluster, 8, async () => {
    for (let kill = 0; kill < kills; kill++) {
      await wait(300 + Math.random() * 1_000)
      await redis.kill()
      await wait(Math.random() * 1_000)
      await redis.start()
    }
  })
  const answered = await expectWhole(cluster, workers)
  process.stderr.write(`${answered} answered queries over ${kills} kills of Redis\n`)
  for (const status of statuses(workers)) expect(status).toMatch(/^(200 |410 )/)
}, 600_000)

it('with Redis what waits for another instance, is cancelled or cleared there, is told at once', async () => {
  const { a, b, upstream } = await two()
  upstream.faults.push({ delay: 1_000 })
  const first = a.client.query('민수', 'first').then(() => performance.now())
  await upstream.arrived(1)
  await b.client.query('민수', 'second')
  const [begun, asked] = [await first, upstream.journal[1]?.at ?? 0]
  expect(asked - begun).toBeLessThan(500)
  for (const end of ['cancel', 'clear'] as const) {
    const waits: number[] = []
    for (let again = 0; again < 3; again++) {
      upstream.faults.push({ stallAfter: 2 })
      const asked = upstream.journal.length
      const running = await a.client.query('민수', end, { background: true })
      const told = readEvents(`${a.url}/turns/${running.body.id}/events`)
      await upstream.arrived(asked + 1)
      const begin = performance.now()
      if (end === 'cancel') await b.client.send('POST', `/turns/${running.body.id}/cancel`)
      else await b.client.clear('민수')
      await told
      waits.push(performance.now() - begin)
    }
    expect(Math.min(...waits)).toBeLessThan(400)
    expect(longest(waits)).toBeLessThan(2_000)
  }
})

it('promise 25: whoever reads at an instance that is stopped is told so, and reads on at another', async () => {
  const { a, b, upstream } = await two({ withRedis: false })
  upstream.faults.push({ say: 'one two three four', stallAfter: 2 })
  const { body } = await a.client.query('민수', 'hi', { background: true })
  let seen = 0
  const reading = readEvents(`${b.url}/turns/${body.id}/events`, {}, undefined, () => seen++)
  await expect.poll(() => seen, { timeout: 5_000 }).toBe(6)
  const ended = b.end('SIGTERM')
  const { events, done } = await reading
  expect(events.at(-1)).toMatchObject({
    id: 5,
    event: 'error',
    data: { error: { code: 'server_shutting_down' } },
  })
  expect([done, await ended]).toEqual([true, 0])
  const from = { headers: { 'last-event-id': '5' } }
  const rest = readEvents(`${a.url}/turns/${body.id}/events`, from)
  await a.client.send('POST', `/turns/${body.id}/cancel`)
  expect((await rest).events.map(({ id }) => id)).toEqual([6])
}, 40_000)

it('nothing that somebody sends over Redis ends an instance, or holds it up', async () => {
  const { a, b, upstream, redis } = await two()
  upstream.faults.push({ stallAfter: 2 })
  const { body } = await a.client.query('민수', 'hi', { background: true })
  const reading = readEvents(`${b.url}/turns/${body.id}/events`)
  const client = new Redis(redis?.url ?? '')
  onTestFinished(() => client.disconnect())
  await expect.poll(async () => (await client.pubsub('CHANNELS', `daehwa:turn:${body.id}*`)).length).toBe(1)
  const [channel] = (await client.pubsub('CHANNELS', `daehwa:turn:${body.id}*`)) as string[]
  const createdAt = Number(channel?.split(':').at(-1))
  for (const message of [
    '',
    'null',
    '[1]',
    '{"events":[null],"next":9}',
    '{"events":[{"type":"x","sequence_number":7}],"next":1e9}',
  ])
    await client.publish(channel ?? '', message)
  for (const after of [-9e15, Number.MAX_SAFE_INTEGER, -1])
    await client.publish('daehwa:asked', JSON.stringify({ tell: body.id, createdAt, after }))
  await b.client.send('POST', `/turns/${body.id}/cancel`)
  expect((await reading).events.at(-1)?.event).toBe('response.failed')
  for (const { client: one } of [a, b]) expect((await one.send('GET', '/healthz')).status).toBe(200)
})

it('promise 38: nothing of what was said stays in Redis', async () => {
  const cluster = await two()
  const { redis, b } = cluster
  await lags(cluster)
  const client = new Redis(redis?.url ?? '')
  onTestFinished(() => client.disconnect())
  expect(await client.keys('*')).toEqual([])
  expect((await b.client.clear('민수')).status).toBe(200)
})

it('starts and works while Redis is not there, and tells its operator without the password', async () => {
  const url = 'redis://user:hidden-7@127.0.0.1:1'
  const { servers } = await startCluster(postgres, 1, { REDIS_URL: url })
  const [server] = servers as [RunningServer]
  expect((await clientOf(server.url).query('민수', 'hi')).status).toBe(200)
  expect((await clientOf(server.url).send('GET', '/readyz')).status).toBe(200)
  await expect.poll(server.output).toMatch(/"redis":"127.0.0.1:1","reason":"ECONNREFUSED".+Redis is away/)
  expect(server.output()).not.toContain('hidden-7')
})
