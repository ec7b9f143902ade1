import { readFileSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { clientOf, type Reply } from '../support/client.ts'
import { runToEnd, startServer, temporaryDir } from '../support/start-server.ts'
import { needsTool } from '../support/tools.ts'
import { startTranscriptUpstream } from '../support/transcript-upstream.ts'

it('six messages survive kill -9, in order and with their times', async () => {
  const dataDir = temporaryDir()
  const first = await startServer({ dataDir })
  const client = clientOf(first.url)
  for (const input of ['하나', '둘', '셋']) expect((await client.query('민수', input)).status).toBe(200)
  const before = await client.history('민수')
  await first.end('SIGKILL')

  const second = await startServer({ dataDir })
  const { body } = await clientOf(second.url).history('민수')
  expect(body).toEqual(before.body)
  expect(body).toHaveLength(6)
  expect(body.map(({ role }: { role: string }) => role)).toEqual(Array(3).fill(['user', 'assistant']).flat())
  expect([0, 2, 4].map((i) => body[i].content)).toEqual(['하나', '둘', '셋'])
  const times = body.map(({ timestamp }: { timestamp: string }) => Date.parse(timestamp))
  expect(times).toEqual(times.toSorted((a: number, b: number) => a - b))
  expect(times.every((time: number) => Math.abs(time - Date.now()) < 60_000)).toBe(true)
})

it('they survive also when nobody has looked at them before', async () => {
  const options = { dataDir: temporaryDir() }
  const first = await startServer(options)
  for (const input of ['one', 'two', 'three']) await clientOf(first.url).query('민수', input)
  await first.end('SIGKILL')

  const second = await startServer(options)
  const { body } = await clientOf(second.url).history('민수')
  expect(body.filter(({ role }: { role: string }) => role === 'user')).toMatchObject(
    ['one', 'two', 'three'].map((content) => ({ content })),
  )
  expect(body).toHaveLength(6)
})

it('the model that was chosen survives too', async () => {
  const upstream = await startTranscriptUpstream()
  const options = { dataDir: temporaryDir(), env: { OPENAI_BASE_URL: upstream.baseUrl } }
  const first = await startServer(options)
  await clientOf(first.url).setModel('민수', 'other')
  await first.end('SIGKILL')
  const second = await startServer(options)
  expect((await clientOf(second.url).model('민수')).body).toEqual({ model: 'other' })
})

it('promise 26: a turn that was cut off by kill -9 is not in the history, one that waited behind it runs', async () => {
  const upstream = await startTranscriptUpstream()
  const options = { dataDir: temporaryDir(), env: { OPENAI_BASE_URL: upstream.baseUrl } }
  upstream.faults.push({ stallAfter: 1 })
  const first = await startServer(options)
  const lost = [clientOf(first.url).query('민수', 'cut off'), clientOf(first.url).query('민수', 'waiting')]
  lost.forEach((reply) => void reply.catch(() => {}))
  await upstream.arrived(1)
  await expect.poll(() => acceptedTurns(options.dataDir, ['cut off', 'waiting']), { timeout: 5_000 }).toBe(2)
  await first.end('SIGKILL')

  const second = await startServer(options)
  const client = clientOf(second.url)
  await expect.poll(async () => (await client.history('민수')).body.length, { timeout: 5_000 }).toBe(2)
  expect((await client.history('민수')).body[0].content).toBe('waiting')
  expect(upstream.journal).toHaveLength(2)
  await client.query('민수', 'next')
  expect(upstream.journal.at(-1)?.messages.map(({ content }) => content)).toContain('waiting')
})

it('promise 26: those that waited run in the order they came, though they came at once', async () => {
  const upstream = await startTranscriptUpstream()
  const options = { dataDir: temporaryDir(), env: { OPENAI_BASE_URL: upstream.baseUrl } }
  upstream.faults.push({ stallAfter: 0 })
  const first = await startServer(options)
  const inputs = Array.from({ length: 20 }, (_, n) => `${n}`)
  const sent = pipeline(first.url, ['running', ...inputs])
  await upstream.arrived(1)
  await expect.poll(() => acceptedTurns(options.dataDir, inputs), { timeout: 5_000 }).toBe(20)
  await first.end('SIGKILL')
  sent.destroy()

  const { body } = await historyWhen(clientOf((await startServer(options)).url), 40)
  const kept = body.filter(({ role }: { role: string }) => role === 'user')
  expect(kept.map(({ content }: { content: string }) => content)).toEqual(inputs)
})

/** Sends queries of one client over one connection, so that they arrive together and in order. */
function pipeline(url: string, inputs: readonly string[]): Socket {
  const request = (input: string) => {
    const body = JSON.stringify({ input, client_name: '민수' })
    const head = `POST /query HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n`
    return `${head}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  }
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  socket.on('error', () => {}).write(inputs.map(request).join(''))
  return socket
}

async function historyWhen(client: ReturnType<typeof clientOf>, length: number): Promise<Reply> {
  await expect.poll(async () => (await client.history('민수')).body.length, { timeout: 10_000 }).toBe(length)
  return client.history('민수')
}

/** Turns that reached the write-ahead log, by their inputs: the file itself is locked while the server lives. */
function acceptedTurns(dataDir: string, inputs: readonly string[]): number {
  const log = readFileSync(join(dataDir, 'daehwa.db-wal')).toString('latin1')
  return inputs.filter((input) => log.includes(`"content":"${input}"`)).length
}

it('promise 5: a second process on the same data exits 1 and says what to do', async () => {
  const first = await startServer()
  const { code, output } = await runToEnd({ dataDir: first.dataDir })
  expect(code).toBe(1)
  expect(output).toBe(
    `daehwa: another process uses the data in ${first.dataDir}. Stop it, or set DATA_DIR to another folder\n`,
  )
  expect((await clientOf(first.url).query('민수', 'still here')).status).toBe(200)
})

it('data that is no database is left as it is, with a clear line', async () => {
  const dataDir = temporaryDir()
  writeFileSync(join(dataDir, 'daehwa.db'), 'not a database, but somebody may want it'.repeat(100))
  const { code, output } = await runToEnd({ dataDir })
  expect(code).toBe(1)
  expect(output).toMatch(/^daehwa: the data in .+ cannot be opened \(file is not a database\)/)
  expect(readFileSync(join(dataDir, 'daehwa.db'), 'utf8')).toMatch(/^not a database/)
})

// W: the log is written; S: it is synced; P: the upstream is asked; R: the client is answered.
it.each([
  ['full', /^(W+SPW+SR){5}$/],
  ['normal', /^(W+PW+R){5}$/],
])(
  'promise 1: in %s durability the system calls of five queries are as promised',
  async (durability, order) => {
    needsTool('strace')
    const upstream = await startTranscriptUpstream()
    const dataDir = temporaryDir()
    const trace = join(dataDir, 'trace')
    const server = await startServer({
      dataDir,
      env: { OPENAI_BASE_URL: upstream.baseUrl, DAEHWA_DURABILITY: durability },
      wrapper: [
        'strace',
        '-f',
        '-qq',
        '-y',
        '-s',
        '24',
        '-e',
        'trace=pwrite64,fsync,fdatasync,write,writev',
        '-o',
        trace,
      ],
    })
    const client = clientOf(server.url)
    await client.model('민수') // the list of models is fetched here, and not among the queries
    const startUp = readFileSync(trace, 'utf8').length
    for (let n = 0; n < 5; n++) expect((await client.query('민수', `message ${n}`)).status).toBe(200)
    await expect.poll(() => letters(readFileSync(trace, 'utf8').slice(startUp))).toMatch(order)
  },
)

function letters(trace: string): string {
  const kinds: [RegExp, string][] = [
    [/pwrite64\(\d+<[^>]*daehwa\.db-wal>/, 'W'],
    [/(fsync|fdatasync)(\(\d+<[^>]*daehwa\.db-wal>| resumed>)\) += 0/, 'S'], // when it is done, and not when it is asked for
    [/writev?\(.*"POST \/v1\/chat/, 'P'],
    [/writev?\(.*"HTTP\/1\.1 200 OK/, 'R'],
  ]
  return trace
    .split('\n')
    .map((line) => kinds.find(([pattern]) => pattern.test(line))?.[1] ?? '')
    .join('')
}
