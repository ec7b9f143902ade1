import { once } from 'node:events'
import { createWriteStream, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { newId } from '../../src/conversation/ids.ts'
import { clientOf, type Reply } from '../support/client.ts'
import { length } from '../support/full-length.ts'
import { runCommand } from '../support/run-command.ts'
import { postgresForTests } from '../support/start-postgres.ts'
import { type RunningServer, startServer, temporaryDir } from '../support/start-server.ts'
import { startTranscriptUpstream } from '../support/transcript-upstream.ts'

const postgres = postgresForTests()
const operatorKey = 'operator-key-0123456789'
const ndjson = { 'content-type': 'application/x-ndjson' }
const operator = { authorization: `Bearer ${operatorKey}` }
const databases = ['SQLite', 'Postgres'] as const

const envOf = async (database: string): Promise<Record<string, string>> =>
  database === 'Postgres' ? { DATABASE_URL: await postgres.newDatabase() } : {}

async function start(database: string, more: Record<string, string> = {}) {
  const upstream = await startTranscriptUpstream()
  const env = { OPENAI_BASE_URL: upstream.baseUrl, ...(await envOf(database)), ...more }
  return { ...(await startServer({ env })), upstream, env }
}

async function exported(url: string, name: string, headers = {}): Promise<string> {
  const reply = await fetch(`${url}/clients/${encodeURIComponent(name)}/export`, { headers })
  expect(reply.headers.get('content-type')).toBe('application/x-ndjson')
  return reply.text()
}

const imported = (url: string, name: string, text: string, headers = {}): Promise<Reply> =>
  clientOf(url, { ...ndjson, ...headers }).send('POST', `/clients/${encodeURIComponent(name)}/import`, text)

/** Lines of an export of so many turns. */
function archive(turns: number, content = (n: number) => `say ${n}`): object[] {
  const at = '2026-01-01T09:00:00.000Z'
  const lines: object[] = Array.from({ length: turns }, (_, n) => {
    const turn_id = newId('resp', 1)
    return [
      { role: 'user', content: content(n), timestamp: at, turn_id, id: newId('msg', 1) },
      {
        ...{ role: 'assistant', content: `answer ${n}`, timestamp: at, turn_id },
        ...{ id: turn_id.replace('resp_', 'msg_'), model: 'm' },
      },
    ]
  }).flat()
  const client = {
    format: 'daehwa.client',
    version: 1,
    client_name: 'a',
    settings: {},
    created_at: at,
    last_active_at: at,
  }
  return [client, ...lines, { end: true, messages: turns * 2 }]
}

const textOf = (lines: readonly object[]): string => lines.map((line) => `${JSON.stringify(line)}\n`).join('')

/** All that can be seen of a client, but for when it was active last and the ids that are not its own. */
async function seen(url: string, name: string, headers = {}): Promise<unknown[]> {
  const client = clientOf(url, headers)
  const at = `/clients/${encodeURIComponent(name)}`
  const { last_active_at: _, ...shown } = (await client.send('GET', at)).body
  const lines = (await exported(url, name, headers)).replace(/"last_active_at":"[^"]+"/, '')
  const history = await client.history(name)
  const turns = await Promise.all(
    history.body.map(({ turn_id }: { turn_id: string }) => client.send('GET', `/turns/${turn_id}`)),
  )
  const { output } = turns.at(-1)?.body ?? {}
  return [shown, lines, history.text, (await client.send('GET', `${at}/context`)).text, output]
}

it('a client goes from SQLite to Postgres and back, with all that is kept of it', async () => {
  const [a, b, c] = [await start('SQLite'), await start('Postgres'), await start('SQLite')]
  const client = clientOf(a.url)
  const name = '민수 / 1'
  const at = `/clients/${encodeURIComponent(name)}`
  const settings = {
    instructions: 'Be "brief".\n',
    temperature: 0.3,
    stop: ['끝'],
    metadata: { team: '파랑' },
  }
  await client.send('PATCH', at, { ...settings, model: 'transcript', compact_at: 0.9 })
  for (let n = 0; n < 12; n++) expect((await client.query(name, `말 ${n} 😀\u2028"`)).status).toBe(200)
  a.upstream.faults.push({ finishReason: 'length' })
  await client.query(name, 'cut short')
  a.upstream.faults.push({
    data: [
      JSON.stringify({ choices: [{ delta: { reasoning_content: 'let me think' } }] }),
      JSON.stringify({ choices: [{ delta: { content: 'thought' }, finish_reason: 'stop' }] }),
      '[DONE]',
    ],
  })
  expect((await client.query(name, 'think')).body.response).toBe('thought')
  a.upstream.faults.push({ say: 'They spoke of many things.' })
  const compacted = await client.send('POST', `${at}/compact`, { keep_turns: 3 })
  expect(compacted.body.summary).toMatchObject({ turns: 11, text: 'They spoke of many things.' })
  const [first] = (await client.history(name)).body
  await client.send('POST', `${at}/items/${first.id}/pin`)

  const text = await exported(a.url, name)
  const lines = text.trim().split('\n')
  expect(lines).toHaveLength(1 + 1 + 28 + 1)
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({ format: 'daehwa.client', client_name: name, settings })
  expect(text).toContain('"reasoning":"let me think"')
  const before = await seen(a.url, name)
  expect((await imported(b.url, name, text)).body).toEqual({
    tenant: 'default',
    client_name: name,
    messages: 28,
  })
  expect(await seen(b.url, name)).toEqual(before)
  expect((await imported(c.url, name, await exported(b.url, name))).status).toBe(200)
  expect(await seen(c.url, name)).toEqual(before)

  for (const { url, upstream } of [a, b, c]) {
    const sent = upstream.journal.length
    expect((await clientOf(url).query(name, 'and now?')).status).toBe(200)
    expect(upstream.journal).toHaveLength(sent + 1)
  }
  const asked = [a, b, c].map(({ upstream }) => upstream.journal.at(-1)?.messages)
  expect(asked[1]).toEqual(asked[0])
  expect(asked[2]).toEqual(asked[0])
  expect(JSON.stringify(asked[0])).toContain('They spoke of many things.')
}, 60_000)

it.each(databases)(
  'what is imported once is refused the second time, and stays as it is, on %s',
  async (database) => {
    const { url } = await start(database)
    const text = textOf(archive(3))
    expect((await imported(url, 'a', text)).body).toMatchObject({ messages: 6 })
    const before = await seen(url, 'a')
    const again = await imported(url, 'a', text)
    expect([again.status, again.body.code]).toEqual([409, 'history_exists'])
    const elsewhere = await imported(url, 'b', text)
    expect([elsewhere.status, elsewhere.body.error]).toEqual([
      409,
      expect.stringContaining('is here already'),
    ])
    expect(await seen(url, 'a')).toEqual(before)
    expect((await clientOf(url).send('GET', '/clients/b')).status).toBe(404)
    const twice = archive(2)
    const [head = {}, q = {}, answer = {}] = twice
    const doubled = await imported(url, 'c', textOf([head, q, answer, q, answer, { end: true, messages: 4 }]))
    expect([doubled.status, doubled.body.code]).toEqual([409, 'history_exists'])
    expect((await clientOf(url).clear('a')).status).toBe(200)
    expect((await imported(url, 'a', text)).status).toBe(200)
  },
)

it.each(databases)(
  'a client that has settings or failed turns and no history is imported into, on %s',
  async (database) => {
    const { url, upstream } = await start(database)
    const client = clientOf(url)
    await client.send('PATCH', '/clients/a', { instructions: 'old', temperature: 1 })
    upstream.faults.push({ status: 400, body: '{}' })
    const failed = await client.query('a', 'fails', { background: true })
    expect(failed.status, failed.text).toBe(202)
    await expect
      .poll(async () => (await client.send('GET', `/turns/${failed.body.id}`)).body.status)
      .toBe('failed')
    const [head, ...rest] = archive(1)
    const text = textOf([{ ...head, settings: { instructions: 'new', metadata: { a: 'b' } } }, ...rest])
    expect((await imported(url, 'a', text)).status).toBe(200)
    expect((await client.send('GET', '/clients/a')).body.settings).toEqual({
      instructions: 'new',
      metadata: { a: 'b' },
    })
    expect((await client.send('GET', `/turns/${failed.body.id}`)).body.status).toBe('failed')
    expect((await client.query('a', 'next')).status).toBe(200)
    expect(upstream.journal.at(-1)?.messages.map(({ content }) => content)).toEqual([
      'new',
      'say 0',
      'answer 0',
      'next',
    ])
  },
)

const [head = {}, question = {}, answered = {}, end = {}] = archive(1)
const summary = {
  summary: 's',
  turns: 1,
  tokens: 3,
  model: 'm',
  timestamp: '2026-01-01T09:00:00.000Z',
  id: newId('cmp', 1),
}
const canary = 'canary-half-an-import'

it.each([
  ['nothing', [], 'Line 1: The first line is missing'],
  ['no client', [question], "Line 1: The line has no 'format'"],
  ['another version', [{ ...head, version: 2 }], "Line 1: 'version' must be equal to constant."],
  [
    'a setting that is none',
    [{ ...head, settings: { model: 'm', colour: 1 } }],
    "Line 1: 'settings' has 'colour'",
  ],
  ['a wrong time', [{ ...head, created_at: 'yesterday' }], "Line 1: 'created_at' must be a time"],
  ['no end', [head, question, answered], 'Line 4: The last line, {"end":true,…}, is missing'],
  ['half a turn', [head, question, end], "Line 3: The line has no 'role'"],
  ['two questions', [head, question, question], "Line 3: 'role' must be assistant"],
  [
    'an answer to another',
    [head, question, { ...answered, turn_id: newId('resp', 1) }],
    "Line 3: 'turn_id' must be",
  ],
  ['another id', [head, question, { ...answered, id: newId('msg', 1) }], "Line 3: 'id' must be msg_ and"],
  ['no model', [head, question, { ...answered, model: undefined }], "Line 3: The line has no 'model'"],
  ['a field that is none', [head, { ...question, tool: 1 }], "Line 2: The line has 'tool'"],
  [
    'a number too many',
    [head, question, answered, { end: true, messages: 4 }],
    "Line 4: 'messages' is 4, and 2 came",
  ],
  ['more behind', [head, question, answered, end, head], 'Line 5: Nothing may follow'],
  [
    'a long summary',
    [head, { ...summary, turns: 2 }, question, answered, end],
    'The summary stands for more',
  ],
  [
    'half a character',
    [head, { ...question, content: '\ud800' }],
    'Line 2: A text holds half of a surrogate pair',
  ],
] as const)('nothing of %s is imported, and the line is named', async (_, lines, words) => {
  const { url, dataDir } = await startServer()
  const text = textOf(lines).replaceAll('say 0', canary)
  const reply = await imported(url, 'a', text)
  expect([reply.status, reply.body.error]).toEqual([400, expect.stringContaining(words)])
  expect((await clientOf(url).send('GET', '/clients/a')).status).toBe(404)
  const files = readdirSync(dataDir).filter((file) => readFileSync(join(dataDir, file)).includes(canary))
  expect(files).toEqual([])
})

it('says in a sentence what is no JSON, what is no JSON Lines, and which type it must have', async () => {
  const { url } = await startServer()
  const broken = await imported(url, 'a', `${JSON.stringify(head)}\nnonsense\n`)
  expect(broken.body.error).toMatch(/^Line 2: The line is not valid JSON/)
  const type = await clientOf(url).send('POST', '/clients/a/import', textOf(archive(1)))
  expect([type.status, type.body.error]).toEqual([415, expect.stringContaining('application/x-ndjson')])
  const none = await fetch(`${url}/clients/a/import`, { method: 'POST' })
  expect([none.status, (await none.text()).includes('application/x-ndjson')]).toEqual([415, true])
  const long = await imported(url, 'a', `${JSON.stringify(head)}\n${' '.repeat(65 * 1024 * 1024)}`)
  expect([long.status, long.body.code]).toEqual([413, 'payload_too_large'])
  expect((await clientOf(url).send('GET', '/clients/a/export')).status).toBe(404)
})

it.each(databases)(
  'an import is seen when it is whole; a message or an erasing that comes first ends it, on %s',
  async (database) => {
    const { url } = await start(database)
    const client = clientOf(url)
    const lines = archive(1_200)
    const half = async () => {
      const sent = request(`${url}/clients/a/import`, { method: 'POST', headers: ndjson })
      sent.write(textOf(lines.slice(0, 2_000)))
      await new Promise((resolve) => setTimeout(resolve, 300))
      return async (rest: readonly object[]) => {
        sent.end(textOf(rest))
        const [reply] = await once(sent, 'response')
        reply.resume()
        return reply.statusCode as number
      }
    }
    const rest = lines.slice(2_000)
    const first = await half()
    expect((await client.history('a')).body).toEqual([])
    expect((await client.send('GET', '/clients')).body.clients).toEqual([])
    expect((await client.query('a', 'hi')).status).toBe(200)
    expect(await first(rest)).toBe(409)
    expect((await client.history('a')).body).toHaveLength(2)
    expect((await client.send('DELETE', '/clients/a')).status).toBe(200)
    const second = await half()
    expect((await client.send('DELETE', '/clients/a')).status).toBe(200)
    expect(await second(rest)).toBe(409)
    expect((await client.send('GET', '/clients/a')).status).toBe(404)
    const [third, fourth] = [await half(), await half()]
    expect([await third(rest), await fourth(rest)]).toEqual([409, 200])
    expect((await client.history('a')).body).toHaveLength(2_400)
  },
  30_000,
)

it('an upload that breaks off leaves nothing behind, also when the server is killed', async () => {
  const server = await startServer()
  const hits = () =>
    readdirSync(server.dataDir).filter((file) => readFileSync(join(server.dataDir, file)).includes(canary))
  const upload = async () => {
    const sent = request(`${server.url}/clients/a/import`, { method: 'POST', headers: ndjson })
    sent.on('error', () => {}).write(textOf(archive(1_200, () => canary).slice(0, -1)))
    await expect.poll(hits, { timeout: 5_000 }).not.toEqual([])
    return sent
  }
  ;(await upload()).destroy()
  await expect.poll(hits, { timeout: 5_000 }).toEqual([])
  expect(server.output()).not.toContain('internal error')
  await upload()
  await server.end('SIGKILL')
  expect(hits()).not.toEqual([])
  await startServer({ dataDir: server.dataDir })
  expect(hits()).toEqual([])
}, 30_000)

it('whose it becomes is decided by the key alone', async () => {
  const { url } = await startServer({ env: { DAEHWA_API_KEY: operatorKey } })
  const keyOf = async (wish: object) => {
    const { body } = await clientOf(url, operator).send('POST', '/admin/keys', wish)
    return { authorization: `Bearer ${body.key}` }
  }
  const [a, b] = [await keyOf({ tenant: 'a' }), await keyOf({ tenant: 'b' })]
  const bound = await keyOf({ tenant: 'a', client_name: 'mine' })
  const [first, ...rest] = archive(1)
  const ofA = textOf([{ ...first, tenant: 'a' }, ...rest])
  expect((await imported(url, 'shared', ofA, b)).body).toMatchObject({ tenant: 'b' })
  expect((await clientOf(url, a).send('GET', '/clients/shared/export')).status).toBe(404)
  expect((await clientOf(url, a).history('shared')).body).toEqual([])
  expect((await clientOf(url, b).history('shared')).body).toHaveLength(2)
  expect((await imported(url, 'other', ofA, bound)).status).toBe(403)
  expect((await imported(url, 'mine', ofA, bound)).status).toBe(200)
  expect((await clientOf(url, bound).send('GET', '/clients/shared/export')).status).toBe(403)
  expect((await exported(url, 'mine', bound)).trim().split('\n')).toHaveLength(4)
  for (const key of [a, bound]) {
    expect((await clientOf(url, key).send('GET', '/admin/export')).status).toBe(403)
    const sent = await fetch(`${url}/admin/import`, {
      method: 'POST',
      headers: { ...ndjson, ...key },
      body: ofA,
    })
    expect(sent.status).toBe(403)
  }
})

/** A server with clients of two tenants. */
async function withTenants(database: string): Promise<RunningServer & { env: Record<string, string> }> {
  const env = { DAEHWA_API_KEY: operatorKey, ...(await envOf(database)) }
  const server = await startServer({ env })
  const send = (tenant: string, name: string, turns: number) =>
    fetch(`${server.url}/admin/import?tenant=${tenant}`, {
      ...{ method: 'POST', headers: { ...ndjson, ...operator } },
      body: textOf(archive(turns).map((line, n) => (n === 0 ? { ...line, client_name: name } : line))),
    })
  for (const [tenant, name, turns] of [
    ['a', '민수', 3],
    ['a', 'x', 700],
    ['b', '민수', 1],
    ['default', 'y', 0],
  ] as const)
    expect((await send(tenant, name, turns)).status).toBe(200)
  return { ...server, env }
}

it.each(databases)(
  'the commands take everything out of %s and into another server, running or not',
  async (database) => {
    const from = await withTenants(database)
    const key = { DAEHWA_API_KEY: operatorKey }
    const file = join(temporaryDir(), 'clients.jsonl')
    const online = await runCommand(['export'], { DAEHWA_URL: from.url, ...key })
    expect([online.code, online.err]).toEqual([0, '4 clients\n'])
    writeFileSync(file, online.out)
    const one = await runCommand(['export', '--tenant', 'a', '--client', '민수'], {
      DAEHWA_URL: from.url,
      ...key,
    })
    expect([one.code, one.err, one.out.trim().split('\n').length]).toEqual([0, '1 client\n', 9])
    const none = await runCommand(['export', '--tenant', 'nobody'], { DAEHWA_URL: from.url, ...key })
    expect([none.code, none.out]).toEqual([0, '{"clients":0}\n'])
    await from.end('SIGTERM')
    const offline = await runCommand(['export'], { DATA_DIR: from.dataDir, ...from.env })
    expect([offline.code, offline.out]).toEqual([0, online.out])

    const into = await startServer({
      env: { ...key, ...(await envOf(database === 'SQLite' ? 'Postgres' : 'SQLite')) },
    })
    const taken = await runCommand(['import', file], { DAEHWA_URL: into.url, ...key })
    expect([taken.code, taken.err]).toEqual([0, ''])
    expect(taken.out).toBe(
      'a, x: 1400 messages\na, 민수: 6 messages\nb, 민수: 2 messages\ndefault, y: 0 messages\n',
    )
    const back = await runCommand(['export'], { DAEHWA_URL: into.url, ...key })
    const steady = (text: string) => text.replaceAll(/"last_active_at":"[^"]+"/g, '')
    expect(steady(back.out)).toBe(steady(online.out))

    const again = await runCommand(['import', file], { DAEHWA_URL: into.url, ...key })
    expect([again.code, again.out]).toEqual([1, 'default, y: 0 messages\n'])
    expect(again.err).toContain('3 of the clients were not imported, all others were')
    const dir = temporaryDir()
    const elsewhere = await runCommand(['import', file, '--tenant', 'c'], { DATA_DIR: dir, ...key })
    expect([elsewhere.code, elsewhere.out]).toEqual([1, expect.stringContaining('c, x: 1400 messages')])
    const half = join(temporaryDir(), 'half.jsonl')
    writeFileSync(half, online.out.slice(0, -40_000))
    const cut = await runCommand(['import', half], { DATA_DIR: temporaryDir(), ...key })
    expect([cut.code, cut.err]).toEqual([
      1,
      expect.stringMatching(/^daehwa: client 1 of the file: Line \d+: The line is not/),
    ])
  },
  60_000,
)

it.each(databases)(
  'a long history is exported and imported in little memory, on %s',
  async (database) => {
    const turns = length('turns', { full: 100_000, short: 10_000 })
    const { url, process: child } = await start(database)
    const file = join(temporaryDir(), 'long.jsonl')
    const out = createWriteStream(file)
    const text = '가나다라'.repeat(100)
    for (const line of archive(turns, (n) => `${n} ${text}`)) {
      if (!out.write(`${JSON.stringify(line)}\n`)) await once(out, 'drain')
    }
    await new Promise((resolve) => out.end(resolve))
    const resident = () =>
      Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]) / 1024
    const before = resident()
    let most = before
    const timer = setInterval(() => (most = Math.max(most, resident())), 20)
    onTestFinished(() => clearInterval(timer))
    const began = performance.now()
    const taken = await runCommand(['import', file], { DAEHWA_URL: url })
    expect([taken.code, taken.err]).toEqual([0, ''])
    const middle = performance.now()
    const given = await runCommand(['export'], { DAEHWA_URL: url })
    const over = performance.now()
    expect(given.out.length).toBeGreaterThan(readFileSync(file, 'utf8').length)
    const rate = (ms: number) => `${Math.round((turns / ms) * 1_000)} turns a second`
    const grown = `${Math.round(before)} to ${Math.round(most)} MB`
    process.stderr.write(
      `${database}: in ${rate(middle - began)}, out ${rate(over - middle)}, memory ${grown}\n`,
    )
    expect(most - before).toBeLessThan(200)
  },
  600_000,
)
