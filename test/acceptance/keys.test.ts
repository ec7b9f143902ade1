import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join, resolve } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { Client } from 'pg'
import { Client as Connection } from 'undici'
import { describe, expect, it } from 'vitest'
import { clientOf } from '../support/client.ts'
import { readEvents } from '../support/events.ts'
import { runCommand } from '../support/run-command.ts'
import { startCluster } from '../support/start-cluster.ts'
import { postgresForTests } from '../support/start-postgres.ts'
import { type RunningServer, startServer, temporaryDir } from '../support/start-server.ts'
import { startTranscriptUpstream } from '../support/transcript-upstream.ts'

const operatorKey = 'operator-key-0123456789'
const postgres = postgresForTests()
const launcher = resolve(import.meta.dirname, '../../bin/daehwa.js')
const as = (url: string, key: string) => clientOf(url, { authorization: `Bearer ${key}` })

async function server(env: Record<string, string> = {}) {
  const upstream = await startTranscriptUpstream()
  const started = await startServer({
    env: { OPENAI_BASE_URL: upstream.baseUrl, DAEHWA_API_KEY: operatorKey, ...env },
  })
  return { ...started, upstream, operator: as(started.url, operatorKey) }
}

async function newKey({ url }: { url: string }, wish: object): Promise<{ id: string; key: string }> {
  const made = await as(url, operatorKey).send('POST', '/admin/keys', wish)
  expect(made.status, made.text).toBe(201)
  return made.body
}

/** A folder with a database in which nothing is yet. */
async function emptyData(): Promise<string> {
  const dir = temporaryDir()
  expect((await runCommand(['migrate'], { DATA_DIR: dir })).code).toBe(0)
  return dir
}

/** Runs `daehwa keys …`. */
async function keys(args: readonly string[], env: Record<string, string>) {
  const child = spawn(process.execPath, [launcher, 'keys', ...args], {
    ...{
      cwd: env['DATA_DIR'],
      env: { PATH: process.env['PATH'] ?? '', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  })
  let [out, err] = ['', '']
  child.stdout.on('data', (bytes) => (out += bytes))
  child.stderr.on('data', (bytes) => (err += bytes))
  const [code] = await once(child, 'close')
  return { code: code as number | null, out: out.trim(), err: err.trim() }
}

describe('promise 34: a key', () => {
  it('has 256 random bits, is shown once, and is kept as a digest', async () => {
    const { operator, dataDir, url, output } = await server()
    const made = await operator.send('POST', '/admin/keys', { tenant: 'acme' })
    expect(made.body.key).toMatch(/^daehwa_[\w-]{43}$/)
    expect(Buffer.from(made.body.key.slice(7), 'base64url')).toHaveLength(32)
    expect((await as(url, made.body.key).query('민수', 'hi')).status).toBe(200)
    const listed = await operator.send('GET', '/admin/keys')
    expect(listed.body.keys).toEqual([{ ...made.body, key: undefined }])
    expect(listed.text).not.toContain(made.body.key)
    const files = readdirSync(dataDir).map((file) => readFileSync(join(dataDir, file)))
    expect(files.some((bytes) => bytes.includes(made.body.id))).toBe(true)
    for (const bytes of files) expect(bytes.includes(made.body.key.slice(11))).toBe(false)
    expect(output()).not.toContain(made.body.key.slice(7))
  })

  it('that is revoked lets nobody in, and closes what is open within 5 s', async () => {
    const running = await server()
    const { url, upstream, operator } = running
    const { id, key } = await newKey(running, { tenant: 'acme' })
    const { key: other } = await newKey(running, { tenant: 'acme' })
    upstream.faults.push({ stallAfter: 2 })
    const turn = await as(url, key).query('민수', 'hi', { background: true })
    const follow = (with_: string) =>
      readEvents(`${url}/turns/${turn.body.id}/events`, { headers: { authorization: `Bearer ${with_}` } })
    const broken = (error: Error) => error.message
    const open = follow(key).catch(broken)
    const stays = follow(other)
    const waiting = as(url, key).query('민수', 'waits').catch(broken)
    await upstream.arrived(1)
    const headers = { authorization: `Bearer ${operatorKey}` }
    await expect
      .poll(async () => (await fetch(`${url}/metrics`, { headers })).text(), { timeout: 5_000 })
      .toContain('daehwa_turns_waiting 1')
    const begin = performance.now()
    expect((await operator.send('DELETE', `/admin/keys/${id}`)).body.revoked_at).toMatch(/^20/)
    expect((await as(url, key).query('민수', 'hi')).status).toBe(401)
    expect(await open).toMatch(/failed|terminated/)
    expect(await waiting).toMatch(/failed|terminated/)
    expect(performance.now() - begin).toBeLessThan(5_000)
    await as(url, other).send('POST', `/turns/${turn.body.id}/cancel`)
    expect((await stays).done).toBe(true)
  })

  it('that is revoked leaves alone who asks by a connection that it came by before', async () => {
    const running = await server()
    const before = await newKey(running, { tenant: 'acme' })
    const now = await newKey(running, { tenant: 'acme' })
    const connection = new Connection(running.url)
    const asked = (key: string) => ({ 'x-api-key': key, 'content-type': 'application/json' })
    const models = await connection.request({ method: 'GET', path: '/models', headers: asked(before.key) })
    await models.body.dump()
    running.upstream.faults.push({ stallAfter: 2 })
    const body = JSON.stringify({ input: 'hi', client_name: '민수' })
    const open = connection
      .request({ method: 'POST', path: '/query', headers: asked(now.key), body })
      .catch(() => 'closed')
    await running.upstream.arrived(1)
    await running.operator.send('DELETE', `/admin/keys/${before.id}`)
    expect(await Promise.race([open, wait(4_000, 'open')])).toBe('open')
    await running.operator.send('DELETE', `/admin/keys/${now.id}`)
    expect(await open).toBe('closed')
    await connection.destroy()
  })

  it('that is revoked leaves alone what was asked before it by the same connection', async () => {
    const running = await server()
    const { url, upstream, operator } = running
    const [first, second] = [
      await newKey(running, { tenant: 'acme' }),
      await newKey(running, { tenant: 'acme' }),
    ]
    upstream.faults.push({ stallAfter: 2 })
    const { hostname, port } = new URL(url)
    const socket = connect(Number(port), hostname)
    const ask = (key: string, client: string) => {
      const body = JSON.stringify({ input: 'hi', client_name: client, stream: true })
      const head = `host: ${hostname}\r\nx-api-key: ${key}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}`
      return `POST /query HTTP/1.1\r\n${head}\r\n\r\n${body}`
    }
    const closed = once(socket, 'close').then(() => 'closed')
    socket.resume().write(ask(first.key, 'one') + ask(second.key, 'two'))
    await upstream.arrived(2)
    await operator.send('DELETE', `/admin/keys/${second.id}`)
    expect(await Promise.race([closed, wait(4_000, 'open')])).toBe('open')
    await operator.send('DELETE', `/admin/keys/${first.id}`)
    expect(await closed).toBe('closed')
  })

  it('works at every instance at once, and is revoked at all of them within 5 s', async () => {
    const { servers, upstream } = await startCluster(postgres, 2, { DAEHWA_API_KEY: operatorKey })
    const [a, b] = servers as [RunningServer, RunningServer]
    const { id, key } = await newKey(a, { tenant: 'acme' })
    upstream.faults.push({ stallAfter: 2 })
    const turn = await as(b.url, key).query('민수', 'hi', { background: true })
    expect(turn.status).toBe(202)
    const open = readEvents(`${b.url}/turns/${turn.body.id}/events`, { headers: { 'x-api-key': key } })
    const begin = performance.now()
    await as(a.url, operatorKey).send('DELETE', `/admin/keys/${id}`)
    await expect(open).rejects.toThrow()
    await expect.poll(async () => (await as(b.url, key).history('민수')).status, { timeout: 5_000 }).toBe(401)
    expect(performance.now() - begin).toBeLessThan(5_000)
  })

  it('is looked at no more once all who came with it are gone, also those who hung up before it was found', async () => {
    const { servers, database } = await startCluster(postgres, 1, { DAEHWA_API_KEY: operatorKey })
    const [one] = servers as [RunningServer]
    const { key } = await newKey(one, { tenant: 'acme' })
    const pg = new Client(database)
    await pg.connect()
    await pg.query('BEGIN; LOCK TABLE api_keys IN ACCESS EXCLUSIVE MODE')
    const hangUp = new AbortController()
    const headers = { authorization: `Bearer ${key}` }
    const asked = Array.from({ length: 20 }, () =>
      fetch(`${one.url}/models`, { headers, signal: hangUp.signal }).catch((error: Error) => error.name),
    )
    await wait(500)
    hangUp.abort()
    expect(new Set(await Promise.all(asked))).toEqual(new Set(['AbortError']))
    await wait(300)
    await pg.query('COMMIT')
    const looks = async (): Promise<number> => {
      const sql = "SELECT idx_scan + seq_scan AS looks FROM pg_stat_user_tables WHERE relname = 'api_keys'"
      return Number((await pg.query<{ looks: string }>(sql)).rows[0]?.looks)
    }
    await wait(3_000) // the server tells its statistics a moment later
    const before = await looks()
    expect(before).toBeGreaterThan(0)
    await wait(5_000)
    expect(await looks()).toBe(before)
    await pg.end()
  })

  it('is looked at together with all the others that are open', async () => {
    const running = await server()
    const made = await Promise.all(Array.from({ length: 120 }, () => newKey(running, { tenant: 'acme' })))
    running.upstream.faultAt = () => ({ stallAfter: 2 })
    const open = made.map(({ key }, n) =>
      as(running.url, key)
        .query(`client ${n}`, 'hi')
        .catch(() => 'closed'),
    )
    await running.upstream.arrived(120)
    for (const { id } of made.slice(1)) await running.operator.send('DELETE', `/admin/keys/${id}`)
    const begin = performance.now()
    expect(await Promise.all(open.slice(1))).toEqual(Array(119).fill('closed'))
    expect(performance.now() - begin).toBeLessThan(5_000)
    expect(await Promise.race([open[0], wait(3_000, 'open')])).toBe('open')
  })

  it('expires, also for what is open', async () => {
    const running = await server()
    const expires_at = new Date(Date.now() + 1_500).toISOString()
    const { key } = await newKey(running, { tenant: 'acme', expires_at })
    running.upstream.faults.push({ stallAfter: 2 })
    const open = as(running.url, key).query('민수', 'hi')
    await expect(open).rejects.toThrow()
    expect((await as(running.url, key).history('민수')).status).toBe(401)
  })
})

describe('promise 33: the tenant comes from the key', () => {
  it('two tenants with the same names never see each other', async () => {
    const running = await server()
    const { url, upstream } = running
    const [keyA, keyB] = [
      (await newKey(running, { tenant: 'a' })).key,
      (await newKey(running, { tenant: 'b' })).key,
    ]
    const [a, b] = [as(url, keyA), as(url, keyB)]
    await a.query('민수', 'secret of a', { metadata: { tenant: 'b' }, tenant: 'b' })
    await a.setModel('민수', 'other')
    expect((await b.history('민수')).body).toEqual([])
    expect((await b.model('민수')).body.model).toBe('transcript')
    expect((await b.send('GET', '/clients')).body.clients).toEqual([])
    await b.query('민수', 'hello of b')
    expect(upstream.journal.map(({ messages }) => messages.length)).toEqual([1, 1])
    expect((await b.clear('민수')).body.message).toContain('2 messages')
    expect((await a.history('민수')).body).toHaveLength(2)
    expect((await running.operator.history('민수')).body).toEqual([])
    const keyed = (tenant: string) =>
      clientOf(url, { authorization: `Bearer ${tenant}`, 'idempotency-key': 'k' }).query('k', 'x')
    const [ofA, ofB] = [await keyed(keyA), await keyed(keyB)]
    expect([ofA.status, ofB.status]).toEqual([200, 200])
    expect(ofA.body.turn_id).not.toBe(ofB.body.turn_id)
  })

  it('the idempotency keys of one client are its own', async () => {
    const running = await server()
    const send = async (client_name: string) => {
      const { key } = await newKey(running, { tenant: 'acme', client_name })
      const headers = { authorization: `Bearer ${key}`, 'idempotency-key': 'order-1' }
      return () => clientOf(running.url, headers).query(client_name, 'hi')
    }
    const [minsu, jisu] = [await send('민수'), await send('지수')]
    const [first, other, again] = [await minsu(), await jisu(), await minsu()]
    expect([first.status, other.status, again.status]).toEqual([200, 200, 200])
    expect(other.body.turn_id).not.toBe(first.body.turn_id)
    expect([again.text, again.headers.get('idempotency-replayed')]).toEqual([first.text, 'true'])
  })

  it('a key that is one client’s touches that one alone', async () => {
    const running = await server()
    const { url, operator } = running
    const whole = as(url, (await newKey(running, { tenant: 'acme' })).key)
    const bound = as(
      url,
      (await newKey(running, { tenant: 'acme', client_name: '민수'.normalize('NFD') })).key,
    )
    const theirs = await whole.query('지수', 'hi')
    const mine = await bound.query('민수', 'hi')
    expect([theirs.status, mine.status]).toEqual([200, 200])
    expect((await bound.send('GET', `/turns/${mine.body.turn_id}`)).status).toBe(200)
    const absent = await bound.send('GET', '/turns/resp_none')
    const other = await bound.send('GET', `/turns/${theirs.body.turn_id}`)
    expect([other.status, other.body.error]).toEqual([404, absent.body.error])
    for (const reply of [
      await bound.query('지수', 'hi'),
      await bound.history('지수'),
      await bound.clear('지수'),
      await bound.setModel('지수', 'other'),
      await bound.send('GET', `/clients/${encodeURIComponent('지수')}`),
      await bound.send('GET', '/defaults'),
      await bound.send('PATCH', '/defaults', { temperature: 1 }),
      await bound.send('GET', '/admin/keys'),
      await bound.send('GET', '/metrics'),
      await whole.send('POST', '/admin/keys', { tenant: 'acme' }),
    ]) {
      expect([reply.status, reply.body.code]).toEqual([403, 'forbidden'])
    }
    const listed = await bound.send('GET', '/clients')
    expect(listed.body.clients.map(({ client_name }: { client_name: string }) => client_name)).toEqual([
      '민수',
    ])
    expect((await whole.history('지수')).body).toHaveLength(2)
    expect((await operator.send('GET', '/admin/keys?tenant=acme')).body.keys).toHaveLength(2)
  })
})

describe('without a key', () => {
  it('one is the operator on one’s own machine, but not through a proxy', async () => {
    const { url } = await startServer()
    expect((await clientOf(url).query('민수', 'hi')).status).toBe(200)
    expect((await clientOf(url, { authorization: 'Bearer sk-anything' }).query('민수', 'hi')).status).toBe(
      200,
    )
    const { body } = await clientOf(url).send('POST', '/admin/keys', { tenant: 'acme' })
    expect((await as(url, body.key).history('민수')).body).toEqual([])
    expect((await as(url, `${body.key.slice(0, -1)}_`).history('민수')).status).toBe(401)
    for (const header of ['x-forwarded-for', 'forwarded'])
      expect((await clientOf(url, { [header]: 'for=192.0.2.1' }).history('민수')).status).toBe(401)
  })

  it('a key of a tenant is enough to listen to others', async () => {
    const dataDir = await emptyData()
    const made = await keys(['create', '--tenant', 'acme'], { DATA_DIR: dataDir })
    const started = await startServer({ dataDir, env: { HOST: '::ffff:127.0.0.1' } })
    const url = `http://127.0.0.1:${new URL(started.url).port}`
    expect((await clientOf(url).history('민수')).status).toBe(401)
    expect((await as(url, made.out).history('민수')).status).toBe(200)
  })
})

describe('daehwa keys', () => {
  it('makes, lists and revokes keys of the server that runs', async () => {
    const { url, dataDir } = await server()
    const env = { DATA_DIR: dataDir, DAEHWA_URL: url, DAEHWA_API_KEY: operatorKey }
    const made = await keys(['create', '--tenant', 'acme', '--client', '민수', '--expires', '30d'], env)
    expect(made, made.err).toMatchObject({ code: 0, out: expect.stringMatching(/^daehwa_[\w-]{43}$/) })
    expect((await as(url, made.out).query('민수', 'hi')).status).toBe(200)
    const listed = await keys(['list'], env)
    expect(listed.out).toMatch(/^key_\w+ {2}daehwa_\S{4}… {2}acme, client 민수 {2}since \S+ {2}until \S+$/)
    const id = listed.out.split(' ')[0] ?? ''
    expect((await keys(['revoke', id], env)).out).toContain('revoked 20')
    expect((await as(url, made.out).query('민수', 'hi')).status).toBe(401)
    await wait(10)
    expect(await keys(['list'], { ...env, DAEHWA_API_KEY: 'wrong' })).toMatchObject({
      code: 1,
      err: expect.stringContaining('DAEHWA_API_KEY'),
    })
  })

  it('opens the data itself where no server runs', async () => {
    const dataDir = await emptyData()
    const env = { DATA_DIR: dataDir, PORT: '1' }
    const made = await keys(['create', '--tenant', 'acme'], env)
    expect(made.code, made.err).toBe(0)
    expect((await keys(['list', '--tenant', 'acme'], env)).out).toContain('acme')
    expect((await keys(['list', '--tenant', 'none'], env)).out).toBe('There are no keys.')
    const { url } = await startServer({ dataDir, env: { DAEHWA_API_KEY: operatorKey } })
    expect((await as(url, made.out).history('민수')).status).toBe(200)
  })

  it.each([
    [['create'], 'tenant'],
    [['create', '--tenant', 'Acme Inc'], "'tenant' must have"],
    [['create', '--tenant', 'acme', '--expires', 'soon'], '--expires must be so many hours or days'],
    [['create', '--tenant', 'acme', '--expires', '2030-01-31T12:00:00'], "'expires_at' must be a time"],
    [['create', '--tenant', 'acme', '--expires', '2020-01-01T00:00:00Z'], 'expired already'],
    [['revoke', 'daehwa_secret'], 'is no id of a key'],
    [['revoke', 'key_none'], 'There is no such key.'],
  ])('says in a line what is wrong with %j', async (args, words) => {
    const { code, err } = await keys(args, { DATA_DIR: await emptyData(), PORT: '1' })
    expect([code, err]).toEqual([1, expect.stringContaining(words)])
    expect(err).not.toContain('    at ')
  })

  it('says so when the server that is named does not answer', async () => {
    const { code, err } = await keys(['list'], { DATA_DIR: temporaryDir(), DAEHWA_URL: 'http://127.0.0.1:1' })
    expect([code, err]).toEqual([1, expect.stringContaining('no Daehwa answers at http://127.0.0.1:1')])
  })
})
