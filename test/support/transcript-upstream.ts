import { createHash, randomUUID } from 'node:crypto'
import { appendFileSync } from 'node:fs'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as wait } from 'node:timers/promises'
import { onTestFinished } from 'vitest'
import { temporaryDir } from './start-server.ts'

export interface Message {
  readonly role: string
  readonly content: string
}

/** One request as it arrived. */
interface JournalEntry {
  /** By the monotonic clock, in milliseconds. */
  readonly at: number
  readonly model: string
  /** Byte for byte. */
  readonly raw: string
  readonly messages: readonly Message[]
  /** All of it, `model` and `messages` too. */
  readonly body: Readonly<Record<string, unknown>>
  readonly headers: IncomingHttpHeaders
  readonly url: string
  /** How its connection ended before it was answered, if it did. */
  closedEarly: boolean
}

/** What goes wrong with one answer. */
export interface Fault {
  /** Answer with this status and body instead of an answer. */
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** Wait so long before anything is sent, in milliseconds. */
  readonly delay?: number
  /** Send these `data` lines in place of the right ones, and end. */
  readonly data?: readonly string[]
  /** Cut the connection after so many pieces of the answer. */
  readonly cutAfter?: number
  /** Send nothing more after so many pieces of the answer, and stay. */
  readonly stallAfter?: number
  /** Answer in one piece, as `application/json`. */
  readonly whole?: boolean
  /** Wait so long after each piece of the answer, in milliseconds. */
  readonly pause?: number
  /** Send a comment so often besides, in milliseconds, as long as the stream is open. */
  readonly heartbeat?: number
  /** Send the stream one byte at a time. */
  readonly byteByByte?: boolean
  /** Say this in place of the transcript. */
  readonly say?: string
  readonly finishReason?: string | null
  /** The tokens that it says were used, sent and answered; null: it does not say. */
  readonly usage?: readonly [prompt: number, completion: number] | null
  /** Say it so many times over. */
  readonly repeat?: number
}

export interface TranscriptUpstream {
  readonly baseUrl: string
  readonly journal: JournalEntry[]
  /** The same as JSON lines in a file, for whoever looks at a test that failed half-way. */
  readonly journalFile: string
  /** The addresses at which its list was asked for. */
  readonly lists: string[]
  /** How many connections were made to it. */
  connections(): number
  /** The models that it lists; undefined: it has no list, and answers 404. */
  models: string[] | undefined
  /** Faults for the next requests, first in, first out. */
  readonly faults: Fault[]
  /** What to say to messages in place of the transcript, for all requests without a `say` of their own. */
  say: ((messages: readonly Message[]) => string) | undefined
  /** Chooses the fault of a request by its address; where it chooses none, `faults` do. */
  faultAt: (url: string) => Fault | undefined
  /** Resolves when so many requests have arrived. */
  arrived(count: number): Promise<void>
  stop(): Promise<void>
  /** Listens again on its old address, after `stop`. */
  startAgain(): Promise<void>
}

/** What it answers to messages: how many there were and their digest, beside a token that no other answer has. */
export function transcript(messages: readonly Message[]): { count: number; digest: string } {
  const bare = messages.map(({ role, content }) => [role, content])
  return {
    count: messages.length,
    digest: createHash('sha256').update(JSON.stringify(bare)).digest('hex'),
  }
}

/**
 * An upstream that tells in its answer what it was sent: `token=… count=… digest=…`. It journals each request,
 * and does what it is told to do wrong.
 */
export async function startTranscriptUpstream(): Promise<TranscriptUpstream> {
  const journal: JournalEntry[] = []
  const journalFile = join(temporaryDir(), 'journal.jsonl')
  const faults: Fault[] = []
  const sockets = new Set<Socket>()
  let connections = 0
  let port = 0
  const server = createServer((request, reply) => {
    route(request, reply).catch(() => reply.destroy())
  })
  server.on('connection', (socket) => {
    connections++
    sockets.add(socket.once('close', () => sockets.delete(socket)))
  })
  const upstream: TranscriptUpstream = {
    baseUrl: '',
    journal,
    journalFile,
    lists: [],
    faults,
    say: undefined,
    faultAt: () => undefined,
    models: ['transcript', 'other'],
    connections: () => connections,
    async arrived(count) {
      while (journal.length < count) await wait(5)
    },
    async stop() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
    startAgain: () => new Promise((resolve) => server.listen(port, '127.0.0.1', resolve)),
  }

  async function route(request: IncomingMessage, reply: ServerResponse): Promise<void> {
    const url = request.url ?? ''
    if (url.split('?')[0] === '/v1/models') {
      upstream.lists.push(url)
      if (upstream.models === undefined) return void reply.writeHead(404).end()
      const data = upstream.models.map((id) => ({ id, object: 'model', created: 1, owned_by: 'test' }))
      return void reply.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ data }))
    }
    const raw = await text(request)
    const body = JSON.parse(raw) as { model: string; messages: Message[] }
    const { model, messages } = body
    const entry = {
      at: performance.now(),
      model,
      messages,
      raw,
      body: { ...body },
      headers: request.headers,
      url,
      closedEarly: false,
    }
    journal.push(entry)
    appendFileSync(journalFile, `${JSON.stringify({ at: Date.now(), model, messages })}\n`)
    reply.once('close', () => {
      entry.closedEarly = !reply.writableFinished
    })
    const fault = upstream.faultAt(url) ?? faults.shift() ?? {}
    const say = fault.say ?? upstream.say?.(messages)
    await answer(reply, entry, say === undefined ? fault : { ...fault, say })
  }

  await upstream.startAgain()
  port = (server.address() as AddressInfo).port
  onTestFinished(() => upstream.stop())
  return Object.assign(upstream, { baseUrl: `http://127.0.0.1:${port}/v1` })
}

async function answer(reply: ServerResponse, { model, messages }: JournalEntry, fault: Fault): Promise<void> {
  if (fault.delay !== undefined) await wait(fault.delay)
  if (fault.status !== undefined) {
    const headers = { 'content-type': 'application/json', ...fault.headers }
    return void reply.writeHead(fault.status, headers).end(fault.body ?? '{}')
  }
  const { count, digest } = transcript(messages)
  const text = fault.say ?? `token=${randomUUID()} count=${count} digest=${digest}`
  const finishReason = fault.finishReason === undefined ? 'stop' : fault.finishReason
  const [prompt_tokens, completion_tokens] = fault.usage ?? [count, 3]
  const usage = { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens }
  if (fault.whole === true) {
    const choices = [{ index: 0, message: { role: 'assistant', content: text }, finish_reason: finishReason }]
    reply.writeHead(200, { 'content-type': 'application/json' })
    return void reply.end(JSON.stringify({ model, choices, usage }))
  }
  reply.writeHead(200, { 'content-type': 'text/event-stream' })
  if (fault.heartbeat !== undefined) {
    const beat = setInterval(() => reply.write(': still here\n\n'), fault.heartbeat)
    reply.once('close', () => clearInterval(beat))
  }
  const pieces = text.split(/(?<= )/)
  const lines = fault.data ?? [
    ...pieces.map((content) => chunk(model, { content }, null)),
    ...(finishReason === null ? [] : [chunk(model, {}, finishReason)]),
    ...(fault.usage === null ? [] : [JSON.stringify({ model, choices: [], usage })]),
    '[DONE]',
  ]
  for (let again = 1; again < (fault.repeat ?? 1) && !reply.destroyed; again++) {
    await write(reply, `data: ${chunk(model, { content: text }, null)}\n\n`, false)
    if (fault.pause !== undefined && again % 20 === 0) await wait(fault.pause)
  }
  for (const [sent, line] of lines.entries()) {
    if (sent === fault.cutAfter) return void reply.destroy()
    if (sent === fault.stallAfter) return
    await write(reply, `data: ${line}\n\n`, fault.byteByByte === true)
    if (fault.pause !== undefined) await wait(fault.pause)
  }
  if (fault.stallAfter !== lines.length) reply.end()
}

const chunk = (model: string, delta: object, reason: string | null): string =>
  JSON.stringify({ model, choices: [{ index: 0, delta, finish_reason: reason }] })

async function write(reply: ServerResponse, text: string, byteByByte: boolean): Promise<void> {
  const bytes = Buffer.from(text)
  const step = byteByByte ? 1 : bytes.length
  for (let at = 0; at < bytes.length; at += step) {
    await new Promise((resolve) => reply.write(bytes.subarray(at, at + step), resolve))
  }
}
