import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { clientOf } from '../support/client.ts'
import { startServer, temporaryDir } from '../support/start-server.ts'
import { startTranscriptUpstream } from '../support/transcript-upstream.ts'

it.each([
  ['forward', 3_600_000],
  ['back', -3_600_000],
])(
  'promise 27: the wall clock jumps an hour %s in mid-turn, and no order, time limit or queue minds',
  async (_, jump) => {
    const dir = temporaryDir()
    const preload = join(dir, 'clock.mjs')
    writeFileSync(
      preload,
      `const real = Date.now; let offset = 0; Date.now = () => real() + offset; process.on('SIGUSR2', () => { offset = ${jump} })`,
    )
    const upstream = await startTranscriptUpstream()
    const env = {
      ...{ OPENAI_BASE_URL: upstream.baseUrl, NODE_OPTIONS: `--import file://${preload}` },
      DAEHWA_FIRST_TOKEN_TIMEOUT_MS: '2000',
    }
    const options = { dataDir: temporaryDir(), env }
    const server = await startServer(options)
    const client = clientOf(server.url)
    upstream.faults.push({ delay: 600 })
    const inputs = ['first', 'second', 'third']
    const replies = [client.query('a', inputs[0] ?? '')]
    await upstream.arrived(1)
    server.process.kill('SIGUSR2')
    for (const input of inputs.slice(1)) replies.push(client.query('a', input))
    for (const reply of await Promise.all(replies)) expect(reply.status, reply.text).toBe(200)
    const said = (await client.history('a')).body.map(({ content }: { content: string }) => content)
    expect([said[0], said[2], said[4]]).toEqual(inputs)

    upstream.faults.push({ stallAfter: 0 }, { stallAfter: 0 })
    const begin = performance.now()
    expect((await client.query('b', 'slow')).body.code).toBe('upstream_timeout')
    expect(performance.now() - begin).toBeLessThan(3_000)
  },
)
