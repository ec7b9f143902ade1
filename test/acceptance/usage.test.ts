import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, it } from 'vitest'
import { clientOf } from '../support/client.ts'
import { startServer, temporaryDir } from '../support/start-server.ts'
import { startTranscriptUpstream } from '../support/transcript-upstream.ts'

const operatorKey = 'operator-key-0123456789'
const launcher = resolve(import.meta.dirname, '../../bin/daehwa.js')
const today = () => new Date().toISOString().slice(0, 10)

/** A server whose model has a price, and two tenants that have used it. */
async function used() {
  const upstream = await startTranscriptUpstream()
  upstream.faultAt = () => ({ usage: [1_000, 500] })
  const dataDir = temporaryDir()
  const models = { transcript: { prices: { input: 2, output: 8 } } }
  const file = { upstreams: { up: { base_url: upstream.baseUrl, models } } }
  writeFileSync(join(dataDir, 'daehwa.config.json'), JSON.stringify(file))
  const env = { DAEHWA_API_KEY: operatorKey, DAEHWA_CONFIG: join(dataDir, 'daehwa.config.json') }
  const server = await startServer({ dataDir, env })
  const as = (key: string) => clientOf(server.url, { authorization: `Bearer ${key}` })
  const operator = as(operatorKey)
  const make = async (wish: object) => (await operator.send('POST', '/admin/keys', wish)).body
  const [acme, bound, other] = [
    await make({ tenant: 'acme' }),
    await make({ tenant: 'acme', client_name: '지수' }),
    await make({ tenant: 'other' }),
  ]
  for (const [key, name] of [
    [acme.key, '민수'],
    [acme.key, '지수'],
    [bound.key, '지수'],
    [other.key, '민수'],
    [operatorKey, '민수'],
  ])
    expect((await as(key).query(name, 'hi', { model: 'up/transcript' })).status).toBe(200)
  return { server, env: { ...env, DATA_DIR: dataDir }, as, operator, acme, bound, other }
}

const row = (turns: number, more: object = {}) => ({
  ...{ model: 'up/transcript', turns, estimated_turns: 0 },
  ...{ input_tokens: 1_000 * turns, output_tokens: 500 * turns, cost: (6 * turns) / 1_000, ...more },
})

async function daehwa(args: readonly string[], env: Record<string, string>) {
  const child = spawn(process.execPath, [launcher, ...args], {
    ...{ cwd: env['DATA_DIR'], env: { PATH: process.env['PATH'] ?? '', ...env } },
  })
  let [out, err] = ['', '']
  child.stdout.on('data', (bytes) => (out += bytes))
  child.stderr.on('data', (bytes) => (err += bytes))
  const [code] = await once(child, 'close')
  return { code, out, err }
}

it('what was used is summed up as it is asked for, with what it costs, each tenant seeing its own', async () => {
  const { as, operator, acme, bound } = await used()
  const get = async (key: string, query = '') => (await as(key).send('GET', `/usage${query}`)).body.usage
  expect((await as(acme.key).send('GET', '/usage')).body).toEqual({
    from: `${today().slice(0, 8)}01`,
    to: today(),
    usage: [row(3)],
  })
  const byName = '?by=client_name,key'
  expect(new Set(await get(acme.key, byName))).toEqual(
    new Set([
      row(1, { client_name: '민수', key: acme.id }),
      row(1, { client_name: '지수', key: acme.id }),
      row(1, { client_name: '지수', key: bound.id }),
    ]),
  )
  expect(await get(bound.key)).toEqual([row(2)])
  expect((await as(bound.key).send('GET', '/usage?client_name=another')).status).toBe(403)
  expect(await get(acme.key, `?client_name=${encodeURIComponent('민수')}&by=day`)).toEqual([
    row(1, { day: today() }),
  ])
  expect(await get(acme.key, '?from=2020-01-01&to=2020-12-31')).toEqual([])
  expect(await get(operatorKey, '?by=key')).toEqual([row(1, { key: null })])
  const all = await operator.send('GET', '/admin/usage?by=tenant')
  expect(all.body.usage).toEqual([
    row(3, { tenant: 'acme' }),
    row(1, { tenant: 'default' }),
    row(1, { tenant: 'other' }),
  ])
  expect((await operator.send('GET', '/admin/usage?tenant=other')).body.usage).toEqual([row(1)])
})

it('a summary is charged to its client, as no turn and on no key', async () => {
  const { as, acme } = await used()
  const client = as(acme.key)
  for (let n = 0; n < 3; n++) await client.query('지수', `message ${n}`, { model: 'up/transcript' })
  await client.send('PATCH', `/clients/${encodeURIComponent('지수')}`, { model: 'up/transcript' })
  const before = (await client.send('GET', '/usage?by=key')).body.usage
  const made = await client.send('POST', `/clients/${encodeURIComponent('지수')}/compact`, { keep_turns: 1 })
  expect(made.status, made.text).toBe(200)
  const after = (await client.send('GET', '/usage?by=key')).body.usage
  const ofKeys = { ...row(1), turns: 0, key: null }
  expect(after).toEqual([ofKeys, ...before])
})

it.each([
  ['from=2026-02-30', "'from' must be a day: 2026-01-31"],
  ['to=yesterday', "'to' must be a day: 2026-01-31"],
  ['from=2026-02-01&to=2026-01-01', "'from' must be no later than 'to'."],
  ['by=week', "'by' must be some of day, tenant, client_name, key, model, with commas between."],
])('says what is wrong with ?%s', async (query, sentence) => {
  const { url } = await startServer()
  const reply = await clientOf(url).send('GET', `/usage?${query}`)
  expect([reply.status, reply.body.error]).toEqual([400, sentence])
})

it('daehwa usage shows the same as a table, of the running server and of its data', async () => {
  const { server, env } = await used()
  const { port } = new URL(server.url)
  const expected = [
    'tenant   model          turns  estimated_turns  input_tokens  output_tokens  cost',
    'acme     up/transcript  3      0                3000          1500           0.018',
    'default  up/transcript  1      0                1000          500            0.006',
    'other    up/transcript  1      0                1000          500            0.006',
    '',
  ].join('\n')
  expect(await daehwa(['usage'], { ...env, PORT: port })).toMatchObject({ code: 0, out: expected })
  await server.end('SIGTERM')
  expect(await daehwa(['usage'], { ...env, PORT: port })).toMatchObject({ code: 0, out: expected })
  const none = await daehwa(['usage', '--from', '2020-01-01', '--to', '2020-01-31'], { ...env, PORT: port })
  expect(none).toMatchObject({ code: 0, out: 'Nothing was used.\n' })
  const wrong = await daehwa(['usage', '--by', 'week'], { ...env, PORT: port })
  expect(wrong).toMatchObject({ code: 1, err: expect.stringMatching(/^daehwa: 'by' must be some of/m) })
})

it('daehwa keys sets limits and takes them away', async () => {
  const { server, env, as, acme } = await used()
  const running = { ...env, PORT: new URL(server.url).port }
  const set = await daehwa(
    ['keys', 'limit', acme.id, '--tokens-per-day', '100', '--turns-at-once', '3'],
    running,
  )
  expect(set).toMatchObject({
    code: 0,
    out: expect.stringMatching(/turns at once: 3, tokens per day: 100\n$/),
  })
  await expect.poll(async () => (await as(acme.key).query('민수', 'hi')).status, { timeout: 5_000 }).toBe(429)
  const off = await daehwa(['keys', 'limit', acme.id, '--tokens-per-day', 'off'], running)
  expect(off.out).toMatch(/turns at once: 3\n$/)
  const wrong = await daehwa(['keys', 'limit', acme.id, '--tokens-per-day', 'many'], running)
  expect(wrong).toMatchObject({
    code: 1,
    err: 'daehwa: --tokens-per-day must be a whole number from 1, or off\n',
  })
  const made = await daehwa(['keys', 'create', '--tenant', 'acme', '--requests-per-minute', '2'], running)
  const key = as(made.out.trim())
  expect((await key.send('GET', '/models')).headers.get('ratelimit-policy')).toBe('"requests";q=2;w=60')
})
