import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { clientOf } from '../support/client.ts'
import { runToEnd, startServer, temporaryDir } from '../support/start-server.ts'
import { startTranscriptUpstream } from '../support/transcript-upstream.ts'

/** A folder with this `daehwa.config.json` in it. */
function folderWith(file: object | string): string {
  const dataDir = temporaryDir()
  writeFileSync(join(dataDir, 'daehwa.config.json'), typeof file === 'string' ? file : JSON.stringify(file))
  return dataDir
}

const prices = { input: 0.4, cached_input: 0.1, output: 1.6 }

/** A server with two upstreams, `a` and `b`, of which `b` is as Azure is. */
async function start() {
  const [a, b] = await Promise.all([startTranscriptUpstream(), startTranscriptUpstream()])
  const file = {
    upstreams: {
      a: { base_url: a.baseUrl },
      b: {
        ...{ base_url: b.baseUrl, api_key_env: 'B_KEY', api_key_header: 'api-key' },
        ...{ headers: { 'X-Title': 'chat' }, query: { 'api-version': '2024-10-21' } },
        models: { transcript: { window: 512, max_output_tokens: 64, prices }, unlisted: {} },
      },
    },
    aliases: { fast: 'b/other', smart: ['a/transcript', 'b/transcript'] },
  }
  const dataDir = folderWith(file)
  const server = await startServer({ dataDir, env: { B_KEY: 'b-key' } })
  return { a, b, file, dataDir, server, client: clientOf(server.url) }
}

describe('a setting that a model does not take', () => {
  it('is refused when it was asked for, and left out when it is only there by default', async () => {
    const a = await startTranscriptUpstream()
    const file = { upstreams: { a: { base_url: a.baseUrl, models: { transcript: { settings: ['stop'] } } } } }
    const client = clientOf((await startServer({ dataDir: folderWith(file) })).url)
    await client.send('PATCH', '/defaults', { temperature: 0.3, stop: ['.'] })
    expect((await client.query('a', 'hi')).status).toBe(200)
    expect(a.journal[0]?.body).toMatchObject({ stop: ['.'] })
    expect(a.journal[0]?.body).not.toHaveProperty('temperature')
    const refused = await client.query('a', 'hi', { temperature: 0.5 })
    expect(refused).toMatchObject({ status: 400, body: { code: 'invalid_request' } })
    expect(refused.body.error).toContain("takes no 'temperature'")
  })
})

describe('two upstreams in a file', () => {
  it('have one list, under names that say whose a model is', async () => {
    const { a, file, client } = await start()
    const { data } = (await client.send('GET', '/models')).body
    expect(data.map(({ id }: { id: string }) => id)).toEqual([
      ...['a/transcript', 'a/other', 'b/transcript', 'b/other', 'b/unlisted', 'fast', 'smart'],
    ])
    expect(data[2]).toMatchObject({ context_window: 512, max_output_tokens: 64, prices })
    expect(data[6]).toMatchObject({ owned_by: 'daehwa', root: 'a/transcript' })
    expect((await client.model('민수')).body).toEqual({ model: 'a/transcript' })
    expect((await client.send('GET', '/readyz')).body).toMatchObject({ demo: false })

    await a.stop()
    const fresh = await startServer({ dataDir: folderWith(file), env: { B_KEY: 'b-key' } })
    const { body } = await clientOf(fresh.url).send('GET', '/models')
    expect(body.data.map(({ id }: { id: string }) => id)).toEqual([
      ...['b/transcript', 'b/other', 'b/unlisted', 'fast', 'smart'],
    ])
    await expect.poll(() => fresh.output()).toContain('"upstream":"a","code":"upstream_unavailable"')
  })

  it('answer to their own models, with the key, headers and query that each wants', async () => {
    const { a, b, client } = await start()
    expect((await client.setModel('민수', 'b/transcript')).body).toEqual({ model: 'b/transcript' })
    expect((await client.query('민수', '안녕')).status).toBe(200)
    expect([a.journal.length, b.journal.length]).toEqual([0, 1])
    expect(b.journal[0]).toMatchObject({
      model: 'transcript',
      url: '/v1/chat/completions?api-version=2024-10-21',
      headers: { 'api-key': 'b-key', 'x-title': 'chat' },
    })
    expect(b.journal[0]?.headers).not.toHaveProperty('authorization')
    expect(b.lists).toContain('/v1/models?api-version=2024-10-21')
    expect((await client.query('민수', 'word '.repeat(600))).body.error).toMatch(/has room for 4\d\d\./)

    expect((await client.query('지수', '안녕', { model: 'other' })).status).toBe(200)
    expect(a.journal).toMatchObject([{ model: 'other', url: '/v1/chat/completions' }])
    expect(a.journal[0]?.headers).not.toHaveProperty('api-key')
  })

  it('get nothing of what was meant for one that is there no more', async () => {
    const { a, b, file, client, server, dataDir } = await start()
    const env = { B_KEY: 'b-key' }
    await client.setModel('민수', 'b/transcript')
    await client.query('민수', 'for b alone')
    await client.setModel('지수', 'a/transcript')
    await client.send('PATCH', '/clients/%EC%A7%80%EC%88%98', { fallback: ['b/transcript'] })
    await server.end('SIGTERM')
    const { b: _, ...upstreams } = file.upstreams
    writeFileSync(join(dataDir, 'daehwa.config.json'), JSON.stringify({ upstreams }))
    const again = clientOf((await startServer({ dataDir, env })).url)
    const refused = await again.query('민수', 'for b alone too')
    expect([refused.status, refused.body.code]).toEqual([400, 'model_not_found'])
    expect((await again.query('지수', 'for a')).status).toBe(200)
    a.faults.push({ status: 401 })
    expect((await again.query('지수', 'for a or b')).body.code).toBe('upstream_auth')
    expect([a.journal.length, b.journal.length]).toEqual([2, 1])
    expect(JSON.stringify(a.journal)).not.toContain('for b alone')
    await again.setModel('민수', 'a/transcript')
    expect((await again.query('민수', 'for a now')).status).toBe(200)
  })

  it('answer to aliases, and nobody answers to a name that nobody has', async () => {
    const { a, b, client } = await start()
    expect((await client.setModel('민수', 'fast')).body).toEqual({ model: 'fast' })
    expect((await client.query('민수', 'a')).status).toBe(200)
    expect((await client.query('민수', 'b', { model: 'smart' })).status).toBe(200)
    expect((await client.model('민수')).body).toEqual({ model: 'fast' })
    expect(b.journal.map(({ model }) => model)).toEqual(['other'])
    expect(a.journal.map(({ model }) => model)).toEqual(['transcript'])
    expect(a.journal[0]?.messages).toHaveLength(3)
    for (const name of ['c/transcript', 'b/none', 'none']) {
      expect((await client.setModel('민수', name)).body).toMatchObject({ code: 'model_not_found' })
    }
  })
})

describe('a start with a file', () => {
  const local = { base_url: 'http://localhost:1/v1' }
  it.each([
    ['{', {}, /^daehwa: daehwa\.config\.json is no JSON at line 1, column 2\. .+\n$/],
    [
      { upstreams: { a: { base_url: 'localhost' } } },
      {},
      'daehwa: daehwa.config.json: upstreams.a.base_url must begin with http:// or https://, as in https://api.openai.com/v1\n',
    ],
    [
      { upstreams: { a: { ...local, api_key_env: 'A_KEY' } } },
      {},
      'daehwa: A_KEY is not set, and upstreams.a.api_key_env in daehwa.config.json names it. Set it, or leave api_key_env out where no key is needed\n',
    ],
    [
      { upstreams: { a: local } },
      { OPENAI_BASE_URL: 'http://localhost:1/v1' },
      /^daehwa: OPENAI_BASE_URL is set, .+\n$/,
    ],
    [
      {},
      { DAEHWA_CONFIG: 'other.json' },
      'daehwa: DAEHWA_CONFIG=other.json is not there. Correct the path, or leave DAEHWA_CONFIG out\n',
    ],
    [{}, { DAEHWA_CONFIG: '.' }, 'daehwa: . cannot be read (EISDIR)\n'],
  ])('%j and %j that are wrong ends with 1 and one line', async (file, env, line) => {
    const { code, output } = await runToEnd({ dataDir: folderWith(file), env })
    expect(code).toBe(1)
    if (typeof line === 'string') expect(output).toBe(line)
    else expect(output).toMatch(line)
  })

  it('takes the one that DAEHWA_CONFIG names', async () => {
    const upstream = await startTranscriptUpstream()
    const dir = folderWith({ upstreams: { x: { base_url: upstream.baseUrl } }, default_model: 'x/other' })
    const env = { DAEHWA_CONFIG: join(dir, 'daehwa.config.json') }
    const server = await startServer({ env })
    expect((await clientOf(server.url).query('민수', '안녕')).status).toBe(200)
    expect(upstream.journal).toMatchObject([{ model: 'other' }])
  })
})
