import { setTimeout as wait } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { clientOf, type Reply } from '../support/client.ts'
import { readEvents, textOf } from '../support/events.ts'
import { lease, noticed, startCluster } from '../support/start-cluster.ts'
import { postgresForTests } from '../support/start-postgres.ts'

const postgres = postgresForTests()

/** Two instances, and a client of each. */
async function two() {
  const cluster = await startCluster(postgres, 2)
  const [a, b] = cluster.servers
  if (a === undefined || b === undefined) throw new Error('two were started')
  return { ...cluster, a: { ...a, client: clientOf(a.url) }, b: { ...b, client: clientOf(b.url) } }
}

const contents = (history: Reply): string[] => history.body.map(({ content }: { content: string }) => content)

const events = (url: string, id: string) => readEvents(`${url}/turns/${id}/events`)

it('what one instance answered the other one knows, with its model and its settings', async () => {
  const { a, b, upstream } = await two()
  expect((await a.client.query('민수', '하나')).status).toBe(200)
  await b.client.setModel('민수', 'other')
  expect((await b.client.query('민수', '둘')).status).toBe(200)
  expect((await a.client.query('민수', '셋')).body.model).toBe('other')
  expect(upstream.journal.map(({ messages }) => messages.length)).toEqual([1, 3, 5])
  expect((await a.client.history('민수')).text).toBe((await b.client.history('민수')).text)
})

it('twenty messages to two instances are answered in the order in which they were accepted', async () => {
  const { a, b, upstream } = await two()
  upstream.faults.push({ delay: 500 })
  const inputs = Array.from({ length: 20 }, (_, n) => `message ${n}`)
  for (const [n, input] of inputs.entries()) {
    const accepted = await (n % 2 === 0 ? a : b).client.query('민수', input, { background: true })
    expect(accepted.status).toBe(202)
  }
  await expect.poll(async () => (await a.client.history('민수')).body.length, { timeout: 15_000 }).toBe(40)
  expect(upstream.journal.map(({ messages }) => messages.at(-1)?.content)).toEqual(inputs)
  expect(contents(await b.client.history('민수')).filter((_, n) => n % 2 === 0)).toEqual(inputs)
})

it('fifty at once over two instances are answered one after the other, each with all that came before', async () => {
  const { balancer, upstream, a } = await two()
  const client = clientOf(balancer.url)
  const replies = await Promise.all(
    Array.from({ length: 50 }, (_, n) => client.query('민수', `message ${n}`)),
  )
  expect(replies.map(({ status }) => status)).toEqual(Array(50).fill(200))
  expect(upstream.journal.map(({ messages }) => messages.length)).toEqual(
    Array.from({ length: 50 }, (_, n) => 2 * n + 1),
  )
  expect((await a.client.history('민수', '&limit=200')).body).toHaveLength(100)
})

it('one Idempotency-Key twenty times over two instances is one message, with the same bytes for all', async () => {
  const { a, b, upstream } = await two()
  upstream.faults.push({ delay: 300 })
  const all = await Promise.all(
    Array.from({ length: 20 }, (_, n) =>
      clientOf((n % 2 === 0 ? a : b).url, { 'idempotency-key': 'k' }).query('민수', 'once'),
    ),
  )
  expect(upstream.journal).toHaveLength(1)
  expect(new Set(all.map(({ status, text }) => `${status} ${text}`)).size).toBe(1)
  expect(all.filter(({ headers }) => headers.get('idempotency-replayed') === 'true')).toHaveLength(19)
})

it('a turn that runs on one instance is read at the other: whole, as events, and with a limit to waiting', async () => {
  const { a, b, upstream } = await two()
  upstream.faults.push({ say: 'one two three four', pause: 200 })
  const { body } = await a.client.query('민수', 'hi', { background: true })
  const here = events(a.url, body.id)
  await upstream.arrived(1)
  expect((await b.client.send('GET', `/turns/${body.id}`)).body.status).toBe('in_progress')
  const there = await events(b.url, body.id)
  expect(there).toEqual(await here)
  expect([there.done, textOf(there.events)]).toEqual([true, 'one two three four'])
  upstream.faults.push({ delay: 2_000 })
  const keyed = (url: string) => clientOf(url, { 'idempotency-key': 'k', prefer: 'wait=1' })
  const first = keyed(a.url).query('민수', 'again')
  await upstream.arrived(2)
  const joined = await keyed(b.url).query('민수', 'again')
  expect([joined.status, joined.body.id]).toEqual([202, (await first).body.id])
})

it('a turn that runs or waits on one instance is cancelled at the other within 2 s', async () => {
  const { a, b, upstream } = await two()
  upstream.faults.push({ stallAfter: 2 })
  const running = await a.client.query('민수', 'runs', { background: true })
  const told = events(a.url, running.body.id)
  await upstream.arrived(1)
  const waiting = await a.client.query('민수', 'waits', { background: true })
  for (const { id } of [waiting.body, running.body]) {
    const begin = performance.now()
    const cancelled = await b.client.send('POST', `/turns/${id}/cancel`)
    expect(performance.now() - begin).toBeLessThan(2_000)
    expect(cancelled.body).toMatchObject({ status: 'cancelled', error: { code: 'turn_cancelled' } })
  }
  expect((await told).events.at(-1)?.data).toMatchObject({ response: { error: { code: 'turn_cancelled' } } })
  await expect.poll(() => upstream.journal[0]?.closedEarly).toBe(true)
  expect((await a.client.query('민수', 'next')).status).toBe(200)
  expect(upstream.journal).toHaveLength(2)
})

it('a history that is cleared at one instance is gone from what the other one answers', async () => {
  const { a, b, upstream } = await two()
  await b.client.query('민수', 'before')
  upstream.faults.push({ stallAfter: 2 }, { stallAfter: 2 })
  const running = await a.client.query('민수', 'runs', { background: true })
  await upstream.arrived(2)
  const here = events(a.url, running.body.id)
  const begin = performance.now()
  expect((await b.client.clear('민수')).status).toBe(200)
  expect((await b.client.history('민수')).body).toEqual([])
  expect((await here).events.at(-1)?.data).toMatchObject({ response: { error: { code: 'history_deleted' } } })
  expect(performance.now() - begin).toBeLessThan(2_000)
  const alone = a.client.query('민수', 'runs alone')
  await upstream.arrived(3)
  await b.client.send('DELETE', `/clients/${encodeURIComponent('민수')}`)
  expect((await alone).status).toBe(410)
  expect((await b.client.query('민수', 'after')).status).toBe(200)
  expect(upstream.journal.at(-1)?.messages).toHaveLength(1)
})

it('busy is busy and an interruption an interruption, wherever the running turn is', async () => {
  const { a, b, upstream } = await two()
  upstream.faults.push({ stallAfter: 2 })
  const running = a.client.query('민수', 'runs')
  await upstream.arrived(1)
  const refused = await b.client.query('민수', 'refused', { multitask_strategy: 'reject' })
  expect([refused.status, refused.body.code]).toEqual([409, 'conversation_busy'])
  const waiting = [a.client.query('민수', 'waits at a'), b.client.query('민수', 'waits at b')]
  await wait(100)
  const urgent = await b.client.query('민수', 'urgent', { multitask_strategy: 'interrupt' })
  expect(urgent.status).toBe(200)
  expect((await running).body.code).toBe('turn_cancelled')
  for (const one of await Promise.all(waiting)) expect(one.status).toBe(200)
  const asked = upstream.journal.map(({ messages }) => messages.at(-1)?.content)
  expect(asked.slice(0, 2)).toEqual(['runs', 'urgent'])
  expect(asked.slice(2).toSorted()).toEqual(['waits at a', 'waits at b'])
})

it('a stream that began on one instance is read on at the other after a kill, and tells the true end', async () => {
  const { a, b, upstream } = await two()
  upstream.faults.push({ stallAfter: 2 })
  const { body } = await a.client.query('민수', 'cut', { background: true })
  const waiting = await a.client.query('민수', 'waits', { background: true })
  const seen = await readEvents(`${a.url}/turns/${body.id}/events`, {}, 5)
  await a.end('SIGKILL')
  const begin = performance.now()
  const from = { headers: { 'last-event-id': `${seen.events.at(-1)?.id}` } }
  const rest = await readEvents(`${b.url}/turns/${body.id}/events`, from)
  expect(performance.now() - begin).toBeLessThan(noticed + 500)
  expect(rest.events.map(({ id, event }) => [id, event])).toEqual([[5, 'response.failed']])
  expect(rest.events[0]?.data).toMatchObject({ response: { error: { code: 'server_restarted' } } })
  await expect
    .poll(async () => (await b.client.send('GET', `/turns/${waiting.body.id}`)).body.status, {
      timeout: lease,
    })
    .toBe('completed')
  expect(contents(await b.client.history('민수'))[0]).toBe('waits')
})
