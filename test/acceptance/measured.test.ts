import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { clientOf } from '../support/client.ts'
import { readEvents } from '../support/events.ts'
import { material, startLongConversation } from '../support/long-conversation.ts'
import { metricsOf, seriesOf } from '../support/metrics-page.ts'
import { postgresForTests } from '../support/start-postgres.ts'
import { startServer, temporaryDir } from '../support/start-server.ts'
import { startTranscriptUpstream } from '../support/transcript-upstream.ts'

const postgres = postgresForTests()

/** A server whose models are those of two upstreams, `a` before `b`. */
async function startTwo(env: Record<string, string> = {}) {
  const [a, b] = [await startTranscriptUpstream(), await startTranscriptUpstream()]
  const dataDir = temporaryDir()
  const upstreams = { a: { base_url: a.baseUrl }, b: { base_url: b.baseUrl } }
  const aliases = { chain: ['a/transcript', 'b/transcript'] }
  const file = { upstreams, aliases, default_model: 'a/transcript' }
  writeFileSync(join(dataDir, 'daehwa.config.json'), JSON.stringify(file))
  const server = await startServer({ dataDir, env })
  return { a, b, url: server.url, client: clientOf(server.url) }
}

it.each(['SQLite', 'Postgres'])(
  'counts what becomes of requests, turns and upstreams, on %s',
  async (database) => {
    const { a, url, client } = await startTwo(
      database === 'Postgres' ? { DATABASE_URL: await postgres.newDatabase() } : {},
    )
    const series = (name: string) => seriesOf(url, `daehwa_${name}`)
    expect(await series('turns_total')).toEqual([
      '{status="completed",code=""} 0',
      '{status="incomplete",code=""} 0',
    ])

    expect((await client.query('민수', 'hi')).status).toBe(200) // 1 message sent, 3 tokens said
    a.faults.push({ finishReason: 'length' })
    await readEvents(`${url}/query`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ input: 'on', client_name: '민수', stream: true }),
    }) // 3 and 3
    a.faults.push({ status: 500 }, { status: 500 })
    expect((await client.query('지수', 'hi')).status).toBe(200) // at the third try: 1 and 3
    a.faults.push({ status: 401 }, { status: 401 })
    expect((await client.query('지수', 'on')).status).toBe(502)
    expect((await client.query('철수', 'hi', { model: 'chain' })).body.model).toBe('b/transcript') // 1 and 3
    a.faults.push({ stallAfter: 1 })
    const cut = await client.query('민수', 'cut', { background: true })
    await a.arrived(8)
    const waiting = await client.query('민수', 'waits', { background: true })
    for (const { body } of [waiting, cut]) await client.send('POST', `/turns/${body.id}/cancel`)
    expect((await client.query('', 'hi')).status).toBe(400)
    expect((await client.send('GET', '/turns/resp_none')).status).toBe(404)
    expect((await client.send('GET', '/no/such/route')).status).toBe(404)

    expect(await series('turns_total')).toEqual([
      '{status="cancelled",code="turn_cancelled"} 2',
      '{status="completed",code=""} 3',
      '{status="failed",code="upstream_auth"} 1',
      '{status="incomplete",code=""} 1',
    ])
    expect(await series('turn_duration_seconds_count')).toEqual([
      '{status="cancelled"} 2',
      '{status="completed"} 3',
      '{status="failed"} 1',
      '{status="incomplete"} 1',
    ])
    expect(await series('turn_first_token_seconds_count')).toEqual(['5'])
    expect(await series('turn_wait_seconds_count')).toEqual(['6']) // all but the one that was cancelled as it waited
    expect(await series('upstream_first_token_seconds_count')).toEqual([
      '{upstream="a"} 4',
      '{upstream="b"} 1',
    ])
    expect(await series('tokens_total')).toEqual([
      '{upstream="a",direction="input"} 5',
      '{upstream="a",direction="output"} 9',
      '{upstream="b",direction="input"} 1',
      '{upstream="b",direction="output"} 3',
    ])
    expect(await series('upstream_errors_total')).toEqual([
      '{upstream="a",code="upstream_auth"} 2',
      '{upstream="a",code="upstream_error"} 2',
    ])
    expect(await series('upstream_retries_total')).toEqual(['{upstream="a"} 2', '{upstream="b"} 0'])
    expect(await series('upstream_fallbacks_total')).toEqual(['{upstream="a"} 1', '{upstream="b"} 0'])
    expect(await series('upstream_breaker')).toEqual(['{upstream="a"} 0', '{upstream="b"} 0'])
    expect(
      (await series('http_request_duration_seconds_count')).filter((line) => !line.includes('/metrics')),
    ).toEqual([
      '{method="GET",route="/turns/:id",status="4xx"} 1',
      '{method="GET",route="none",status="4xx"} 1',
      '{method="POST",route="/query",status="2xx"} 6',
      '{method="POST",route="/query",status="4xx"} 1',
      '{method="POST",route="/query",status="5xx"} 1',
      '{method="POST",route="/turns/:id/cancel",status="2xx"} 2',
    ])
    const [failed, kept = '', ...others] = await series('storage_commit_duration_seconds_count')
    expect([failed, ...others]).toEqual(['{outcome="failed"} 0'])
    expect(Number(/^\{outcome="kept"\} (\d+)$/.exec(kept)?.[1])).toBeGreaterThan(10)
  },
)

it('tells of a caller who hangs up, and of a turn that waited', async () => {
  const { a, url, client } = await startTwo()
  await client.model('a')
  a.faults.push({ delay: 700 })
  const hangUp = new AbortController()
  const body = JSON.stringify({ input: 'hi', client_name: 'x' })
  const asked = fetch(`${url}/query`, {
    ...{ method: 'POST', headers: { 'content-type': 'application/json' }, body, signal: hangUp.signal },
  }).catch(() => 'gone')
  await a.arrived(1)
  const second = client.query('x', 'on')
  hangUp.abort()
  expect(await asked).toBe('gone')
  await expect
    .poll(() => seriesOf(url, 'daehwa_http_request_duration_seconds_count'))
    .toContain('{method="POST",route="/query",status="aborted"} 1')
  expect((await second).status).toBe(200)
  expect(await seriesOf(url, 'daehwa_turns_total')).toContain('{status="completed",code=""} 2')
  const { samples } = await metricsOf(url)
  expect(samples.get('daehwa_turn_wait_seconds_bucket{le="0.1"}')).toBe(1)
  expect(samples.get('daehwa_turn_wait_seconds_sum')).toBeGreaterThan(0.3)
  expect(samples.get('daehwa_turn_wait_seconds_sum')).toBeLessThan(5)
})

it('shows an upstream that is left alone, and when it is back', async () => {
  const { a, b, url, client } = await startTwo()
  a.faultAt = () => ({ status: 500 })
  const names = Array.from({ length: 10 }, (_, n) => `client ${n}`)
  await Promise.all(names.map((name) => client.query(name, 'hi', { model: 'chain' })))
  expect(await seriesOf(url, 'daehwa_upstream_breaker')).toEqual(['{upstream="a"} 2', '{upstream="b"} 0'])
  const asked = a.journal.length
  expect((await client.query('x', 'hi', { model: 'chain' })).body.model).toBe('b/transcript')
  expect(a.journal).toHaveLength(asked)
  expect(await seriesOf(url, 'daehwa_upstream_fallbacks_total')).toEqual([
    '{upstream="a"} 11',
    '{upstream="b"} 0',
  ])
  expect(b.journal).toHaveLength(11)
  expect(await seriesOf(url, 'daehwa_upstream_errors_total')).toEqual([
    `{upstream="a",code="upstream_error"} ${asked}`,
  ])
  a.faultAt = () => undefined
  let n = 0 // a conversation stays with the one that answered it
  const back = async () => (await client.query(`later ${n++}`, 'hi', { model: 'chain' })).body.model
  await expect.poll(back, { timeout: 15_000, interval: 500 }).toBe('a/transcript')
  expect(await seriesOf(url, 'daehwa_upstream_breaker')).toEqual(['{upstream="a"} 0', '{upstream="b"} 0'])
}, 30_000)

it('counts summaries that were made and those that were not', async () => {
  const { summaries, client, server } = await startLongConversation({ window: 1_024 })
  const compact = () => client.send('POST', '/clients/a/compact', { keep_turns: 0 })
  for (let n = 0; n < 3; n++) await client.query('a', `turn ${n + 1}: ${'word '.repeat(30)}`)
  expect((await compact()).status).toBe(200)
  await client.query('a', 'turn 4: more')
  summaries.faults.push({ status: 400 })
  expect((await compact()).status).toBe(502)
  expect(material(summaries.journal[0]?.messages ?? []).turns).toContain('word')
  expect(await seriesOf(server.url, 'daehwa_compactions_total')).toEqual([
    '{outcome="done"} 1',
    '{outcome="failed"} 1',
  ])
})

it('has no more series after hundreds of clients, models that nobody has, and requests of every kind', async () => {
  const { a, url, client } = await startTwo()
  const visit = async (name: string, model: string) => {
    await client.query(name, 'hi')
    await client.query(name, 'hi', { model })
    await client.query(name, 'hi', { model: 'chain', fallback: [model] })
    await client.setModel(name, model)
    await client.history(name)
    await client.send('GET', `/clients/${name}`)
    await client.send('GET', `/${name}/${model}`)
    await client.send('GET', `/turns/resp_${name}`)
    for (const method of ['PUT', 'PATCH', 'OPTIONS', 'PROPFIND', 'PURGE'])
      await fetch(`${url}/${name}`, { method, headers: { 'x-request-id': name } })
  }
  a.models = ['transcript', 'model-of-a']
  await visit('first', 'no-such-model')
  await visit('first', 'model-of-a')
  await metricsOf(url) // it counts its own reading, too
  const before = [...(await metricsOf(url)).samples.keys()]
  for (let n = 0; n < 500; n += 10) {
    await visit(`client-${n}`, `made-up-${n}`)
    await Promise.all(Array.from({ length: 9 }, (_, i) => client.query(`client-${n + i + 1}`, 'hi')))
  }
  const after = [...(await metricsOf(url)).samples.keys()]
  const grown = after.filter((series) => !before.includes(series))
  // Those are Node's own few kinds of handles and collections, by what there was until now.
  expect(grown.filter((series) => !/^nodejs_(active|gc)_/.test(series))).toEqual([])
  expect(a.journal.length).toBeGreaterThan(600)
  expect(after.filter((series) => /client-|made-up|resp_/.test(series))).toEqual([])
}, 60_000)
