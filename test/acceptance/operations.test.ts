import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { clientOf } from '../support/client.ts'
import { runToEnd, startServer } from '../support/start-server.ts'
import { startTranscriptUpstream } from '../support/transcript-upstream.ts'

const key = 'operator-key-0123456789'

describe('the key', () => {
  it('is asked for on every route but those for operators and the document', async () => {
    const server = await startServer({ env: { DAEHWA_API_KEY: key } })
    const document = (await clientOf(server.url).send('GET', '/openapi.json')).body
    const routes = Object.entries(document.paths as Record<string, object>).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => [method.toUpperCase(), path] as const),
    )
    expect(routes.length).toBeGreaterThanOrEqual(8)
    const open: string[] = []
    for (const [method, path] of routes) {
      for (const headers of [
        {},
        { authorization: 'Bearer wrong' },
        { 'x-api-key': `${key}x` },
        { authorization: key },
      ]) {
        const reply = await clientOf(server.url, headers).send(method, path)
        if (reply.status !== 401) open.push(`${method} ${path}`)
        else {
          expect(reply.body.code).toBe('invalid_api_key')
          expect(reply.headers.get('www-authenticate')).toBe('Bearer')
        }
      }
    }
    expect([...new Set(open)].toSorted()).toEqual(['GET /healthz', 'GET /readyz'])
    expect((await clientOf(server.url).send('GET', '/no-such-route')).status).toBe(401)
    expect((await fetch(`${server.url}/docs/`)).status).toBe(200)
  })

  it('is taken as a bearer token and as x-api-key', async () => {
    const server = await startServer({ env: { DAEHWA_API_KEY: key } })
    for (const headers of [
      { authorization: `Bearer ${key}` },
      { authorization: `bearer ${key}` },
      { 'x-api-key': key },
    ]) {
      expect((await clientOf(server.url, headers).query('a', 'hi')).status).toBe(200)
    }
  })

  it('promise 36: is needed to listen beyond loopback, and the refusal says what to do', async () => {
    const { code, output } = await runToEnd({ env: { HOST: '0.0.0.0' } })
    expect(code).toBe(1)
    expect(output).toMatch(
      /^daehwa: HOST=0\.0\.0\.0 can be reached .+ Set DAEHWA_API_KEY \(.+\), or leave HOST out\n$/,
    )
  })
})

describe('a start that cannot be', () => {
  it.each([
    [{ PORT: 'web' }, 'daehwa: PORT=web must be a whole number from 0 to 65535\n'],
    [{ DAEHWA_DURABILITY: 'none' }, 'daehwa: DAEHWA_DURABILITY=none must be one of full, normal\n'],
    [
      { DATA_DIR: '/proc/nowhere' },
      /^daehwa: the data in \/proc\/nowhere cannot be opened \(.+\)\. Check the folder.+\n$/,
    ],
  ])('for %j ends with 1 and one line', async (env, line) => {
    const { code, output } = await runToEnd({ env })
    expect(code).toBe(1)
    if (typeof line === 'string') expect(output).toBe(line)
    else expect(output).toMatch(line)
  })

  it('on a port that is taken ends with 1 and one line', async () => {
    const server = await startServer()
    const { code, output } = await runToEnd({ env: { PORT: new URL(server.url).port } })
    expect(code).toBe(1)
    expect(output).toBe(
      `daehwa: another program listens on port ${new URL(server.url).port} already. Stop it, or set PORT to another number\n`,
    )
  })

  it('on a Node older than 24 says so in one line', async () => {
    const launcher = resolve(import.meta.dirname, '../../bin/daehwa.js')
    const pretend = `Object.defineProperty(process.versions, 'node', { value: '20.20.2' })`
    const flags = ['--import', `data:text/javascript,${encodeURIComponent(pretend)}`]
    expect(() => execFileSync(process.execPath, [...flags, launcher], { stdio: 'pipe' })).toThrow(
      /daehwa: needs Node\.js 24 or newer, and this is v[^\n]+\n?$/,
    )
    const system = '/usr/bin/node'
    if (!existsSync(system) || !/^v(1|20|22)/.test(execFileSync(system, ['--version']).toString())) return
    expect(() => execFileSync(system, [launcher], { stdio: 'pipe' })).toThrow(/needs Node\.js 24 or newer/)
  })
})

describe('the demo', () => {
  it('works with nothing set, and says everywhere that it is one', async () => {
    const server = await startServer()
    const client = clientOf(server.url)
    expect((await client.send('GET', '/readyz')).body).toEqual({ status: 'ok', demo: true })
    expect((await client.send('GET', '/models')).body.data).toMatchObject([{ id: 'demo' }])
    expect((await client.query('민수', '안녕')).body).toMatchObject({
      model: 'demo',
      response: '[데모] "안녕"이라고 하셨습니다.',
    })
    const second = await client.query('민수', '또 왔어')
    expect(second.body.response).toBe(
      '[데모] "또 왔어"라고 하셨습니다. 앞서 오간 메시지 2개를 함께 받았고, 그중 첫 메시지는 "안녕"입니다.',
    )
    await expect.poll(server.output).toContain('this is a demo')
  })

  it('is not there when an upstream is set', async () => {
    const upstream = await startTranscriptUpstream()
    const server = await startServer({ env: { OPENAI_BASE_URL: upstream.baseUrl } })
    expect((await clientOf(server.url).send('GET', '/readyz')).body).toEqual({
      status: 'ok',
      demo: false,
    })
    expect(server.output()).not.toContain('this is a demo')
  })
})

describe('SIGTERM', () => {
  it('promise 25: finishes what runs, refuses what is new, and exits 0', async () => {
    const upstream = await startTranscriptUpstream()
    const server = await startServer({ env: { OPENAI_BASE_URL: upstream.baseUrl } })
    const client = clientOf(server.url)
    upstream.faults.push({ delay: 1_000 })
    const running = client.query('민수', 'running')
    const queued = client.query('민수', 'queued')
    await upstream.arrived(1)
    const ended = server.end('SIGTERM')
    await expect.poll(async () => (await client.send('GET', '/readyz')).status).toBe(503)
    const refused = await client.query('지수', 'new')
    expect([refused.status, refused.body.code]).toEqual([503, 'server_shutting_down'])
    expect((await client.send('GET', '/healthz')).status).toBe(200)
    expect((await running).status).toBe(200)
    expect((await queued).status).toBe(200)
    expect(await ended).toBe(0)
    expect(server.output()).toContain('"msg":"stopped"')

    const again = await startServer({ dataDir: server.dataDir })
    expect((await clientOf(again.url).history('민수')).body).toHaveLength(4)
    expect((await clientOf(again.url).history('지수')).body).toEqual([])
  })

  it('ends in a moment when nothing runs, also with a connection open', async () => {
    const server = await startServer()
    await clientOf(server.url).send('GET', '/healthz')
    const begin = performance.now()
    expect(await server.end('SIGTERM')).toBe(0)
    expect(performance.now() - begin).toBeLessThan(1_500)
  })
})

describe('what is kept and told', () => {
  it('lies in a folder that only its owner can read', async () => {
    const server = await startServer()
    expect(statSync(join(server.dataDir, 'daehwa.db')).mode & 0o777).toBe(0o600)
  })

  it('promise 38: is in no file of the database any more once the history is cleared', async () => {
    const server = await startServer()
    const client = clientOf(server.url)
    const canary = 'canary-erased-4715'
    const hits = () =>
      readdirSync(server.dataDir).filter((file) => readFileSync(join(server.dataDir, file)).includes(canary))
    for (let n = 0; n < 5; n++) await client.query('민수', `${canary} ${n}`, { instructions: canary })
    expect(hits()).not.toEqual([])
    expect((await client.clear('민수')).status).toBe(200)
    expect(hits()).toEqual([])
    expect((await client.query('민수', 'after')).status).toBe(200)
  })

  it('promise 38: nor is it once the client is erased, after a backup, an export and an import', async () => {
    const server = await startServer()
    const client = clientOf(server.url)
    const canary = 'canary-erased-4716'
    const hits = () =>
      readdirSync(server.dataDir).filter((file) => readFileSync(join(server.dataDir, file)).includes(canary))
    await client.send('PATCH', '/clients/a', { instructions: canary, metadata: { note: canary } })
    for (let n = 0; n < 5; n++) await client.query('a', `${canary} ${n}`)
    const summary = await client.send('POST', '/clients/a/compact', { keep_turns: 1 })
    expect(summary.body.summary.text).toContain(canary)
    const [first] = (await client.history('a')).body
    await client.send('POST', `/clients/a/items/${first.id}/pin`)
    const backup = Buffer.from(await (await fetch(`${server.url}/admin/backup`)).arrayBuffer())
    expect(backup.includes(canary)).toBe(true)
    const exported = await (await fetch(`${server.url}/clients/a/export`)).text()
    expect((await client.send('DELETE', '/clients/a')).status).toBe(200)
    expect(hits()).toEqual([])
    const headers = { 'content-type': 'application/x-ndjson' }
    const send = () => fetch(`${server.url}/clients/b/import`, { method: 'POST', headers, body: exported })
    expect((await send()).status).toBe(200)
    expect(hits()).not.toEqual([])
    expect((await send()).status).toBe(409)
    expect((await client.send('DELETE', '/clients/b')).status).toBe(200)
    expect(hits()).toEqual([])
  })

  it('bears the request id of the answer, or the one that the caller sent', async () => {
    const server = await startServer()
    const reply = await clientOf(server.url, { 'x-request-id': 'my-id.1' }).send('GET', '/nope')
    expect([reply.body.request_id, reply.headers.get('x-request-id')]).toEqual(['my-id.1', 'my-id.1'])
    const own = await clientOf(server.url, { 'x-request-id': 'bad id' }).send('GET', '/nope')
    expect(own.body.request_id).toMatch(/^req_[0-9a-f]{32}$/)
    await expect.poll(() => server.output()).toContain(`"reqId":"${own.body.request_id}"`)
  })
})
