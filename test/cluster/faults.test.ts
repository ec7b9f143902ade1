import { setTimeout as wait } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { clientOf } from '../support/client.ts'
import { startFaultProxy } from '../support/fault-proxy.ts'
import { length } from '../support/full-length.ts'
import { expectWhole, statuses, underLoad } from '../support/load.ts'
import { lease, noticed, startCluster } from '../support/start-cluster.ts'
import { postgresForTests } from '../support/start-postgres.ts'
import type { RunningServer } from '../support/start-server.ts'

const postgres = postgresForTests()
const minute = 60_000

it(
  'promise 2: instances are killed under load, with deletes and changes of the model: nothing is lost, doubled or stays busy',
  async () => {
    const kills = length('kills of an instance', { full: 60, short: 4 })
    const cluster = await startCluster(postgres, 3)
    const { servers, balancer } = cluster
    const workers = await underLoad(cluster, 8, async () => {
      for (let kill = 0; kill < kills; kill++) {
        await wait(100 + Math.random() * 900)
        const at = Math.floor(Math.random() * servers.length)
        await servers[at]?.end('SIGKILL')
        servers[at] = await cluster.start()
        balancer.targets = servers.map(({ url }) => url)
      }
    })
    const answered = await expectWhole(cluster, workers)
    process.stderr.write(`${answered} answered queries over ${kills} kills\n`)
    expect(answered).toBeGreaterThan(kills)
    for (const status of statuses(workers)) expect(status).toMatch(/^(200 |503 |410 )/)
  },
  10 * minute,
)

it.each([
  ['before it wakes up', 0.75 * lease],
  ['when it is awake again', 2.5 * lease],
])(
  'promise 12: an instance that was stopped for 1.5 leases commits nothing, its answer having come %s',
  async (_, delay) => {
    const { servers, upstream } = await startCluster(postgres, 2)
    const [a, b] = servers as [RunningServer, RunningServer]
    const [atA, atB] = [clientOf(a.url), clientOf(b.url)]
    await atA.query('민수', 'before')
    upstream.faults.push({ delay })
    const lost = atA.query('민수', 'lost')
    await upstream.arrived(2)
    const waits = await atA.query('민수', 'waits', { background: true })
    a.process.kill('SIGSTOP')
    const begin = performance.now()
    const next = await atB.query('민수', 'next')
    expect(performance.now() - begin).toBeLessThan(noticed + 1_000)
    expect(next.status, next.text).toBe(200)
    await wait(1.5 * lease - (performance.now() - begin))
    a.process.kill('SIGCONT')
    expect((await lost).status).toBe(503)
    const said = (await atB.history('민수')).body.map(({ content }: { content: string }) => content)
    expect(said.filter((_text: string, n: number) => n % 2 === 0)).toEqual(['before', 'waits', 'next'])
    await wait(delay)
    expect((await atB.history('민수')).body).toHaveLength(6)
    expect((await atB.send('GET', `/turns/${waits.body.id}`)).body.status).toBe('completed')
    expect(upstream.journal.map(({ messages }) => messages.at(-1)?.content)).toEqual([
      ...['before', 'lost', 'waits', 'next'],
    ])
    await expect.poll(async () => (await atA.query('민수', 'again')).status, { timeout: lease }).toBe(200)
  },
)

it('an instance that does not reach Postgres gives up what it runs before others take it, and comes back by itself', async () => {
  const { database, servers, start, upstream } = await startCluster(postgres, 1)
  const proxy = await startFaultProxy(database)
  const a = await start({ DATABASE_URL: database.replace(/:\d+\//, `:${new URL(proxy.url).port}/`) })
  const [atA, atB] = [clientOf(a.url), clientOf(servers[0]?.url ?? '')]
  await atA.query('민수', 'before')
  upstream.faults.push({ delay: 3 * lease })
  const lost = atA.query('민수', 'lost')
  await upstream.arrived(2)
  const begin = performance.now()
  proxy.fault.latency = 2 * lease
  expect(await lost).toMatchObject({ status: 503, body: { code: 'storage_unavailable' } })
  expect(performance.now() - begin).toBeLessThan(lease)
  expect((await atB.query('민수', 'next')).status).toBe(200)
  expect(performance.now() - begin).toBeLessThan(noticed + 1_000)
  proxy.fault.latency = undefined
  await expect
    .poll(async () => (await atA.query('민수', 'again')).status, { timeout: 4 * lease, interval: 200 })
    .toBe(200)
  const said = (await atB.history('민수')).body.map(({ content }: { content: string }) => content)
  expect(said.filter((_text: string, n: number) => n % 2 === 0)).toEqual(['before', 'next', 'again'])
})

it(
  'promise 28: instances are replaced one after the other under load: what was acknowledged is answered',
  async () => {
    const rounds = length('rolling restarts', { full: 10, short: 1 })
    const cluster = await startCluster(postgres, 2)
    const { servers, balancer } = cluster
    const acknowledged: string[] = []
    const workers = await underLoad(cluster, 6, async () => {
      for (let at = 0; at < rounds * servers.length; at++) {
        for (let n = 0; n < 5; n++) {
          const { status, body } = await clientOf(balancer.url).query(`background ${n % 2}`, `${at} ${n}`, {
            background: true,
          })
          if (status === 202) acknowledged.push(body.id)
        }
        const fresh = await cluster.start()
        const old = servers[at % servers.length]
        servers[at % servers.length] = fresh
        balancer.targets = servers.map(({ url }) => url)
        expect(await old?.end('SIGTERM')).toBe(0)
      }
    })
    const answered = await expectWhole(cluster, workers)
    process.stderr.write(`${answered} answered queries over ${rounds} rolling restarts\n`)
    expect(acknowledged.length).toBeGreaterThan(rounds * 5)
    for (const id of acknowledged) {
      const turn = await clientOf(balancer.url).send('GET', `/turns/${id}`)
      expect(turn.body.status, turn.text).toMatch(/^completed$/)
    }
    for (const status of statuses(workers)) expect(status).toMatch(/^(200 |503 server_shutting_down)$/)
  },
  10 * minute,
)

it(
  'promise 3: Postgres is stopped and started under the load of two instances: 200 or 503, and what was answered is there once',
  async () => {
    const stops = length('stops of Postgres', { full: 20, short: 2 })
    const longest = length('longest stop in ms', { full: 5_000, short: 1_000 })
    const cluster = await startCluster(postgres, 2)
    const workers = await underLoad(cluster, 6, async () => {
      for (let stop = 0; stop < stops; stop++) {
        await wait(500 + Math.random() * 1_500)
        await postgres.stop()
        await wait(Math.random() * longest)
        await postgres.start()
        const ready = () => clientOf(cluster.balancer.url).send('GET', '/readyz')
        await expect.poll(async () => (await ready()).status, { timeout: 5_000 }).toBe(200)
      }
    })
    const answered = await expectWhole(cluster, workers)
    process.stderr.write(`${answered} answered queries over ${stops} stops of Postgres\n`)
    expect([...statuses(workers)].toSorted()).toEqual(['200 ', '503 storage_unavailable'])
  },
  10 * minute,
)
