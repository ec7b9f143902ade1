import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { onTestFinished } from 'vitest'

/** One request as it arrived, to the last header. */
export interface Recorded {
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export interface Recorder {
  /** `127.0.0.1:` and its port. */
  readonly address: string
  readonly requests: Recorded[]
  /** How many connections were made to it, also those over which nothing came. */
  connections(): number
  /** How it answers. */
  answer: (request: Recorded, reply: ServerResponse) => unknown
}

/** A server that records all that reaches it. Unless it is told otherwise, it plays an upstream. */
export async function startRecorder(): Promise<Recorder> {
  const requests: Recorded[] = []
  let connections = 0
  const server = createServer(async (request, reply) => {
    const { method = '', url = '', rawHeaders } = request
    const pairs = rawHeaders.flatMap((value, at) => (at % 2 === 0 ? [[value, rawHeaders[at + 1]]] : []))
    const recorded = { method, url, headers: Object.fromEntries(pairs), body: await text(request) }
    requests.push(recorded)
    recorder.answer(recorded, reply)
  })
  server.on('connection', () => connections++)
  const recorder = { address: '', requests, connections: () => connections, answer: answerAsUpstream }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return Object.assign(recorder, { address: `127.0.0.1:${(server.address() as AddressInfo).port}` })
}

/** A list of one model, and an answer in one piece. */
export function answerAsUpstream({ method }: Recorded, reply: ServerResponse): void {
  const message = { role: 'assistant', content: 'Yes.' }
  const answer = { model: 'm', choices: [{ index: 0, message, finish_reason: 'stop' }] }
  reply.writeHead(200, { 'content-type': 'application/json' })
  reply.end(JSON.stringify(method === 'GET' ? { data: [{ id: 'm' }] } : answer))
}
