import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { onTestFinished } from 'vitest'

export interface Balancer {
  readonly url: string
  /** The addresses behind it. May be changed at any time. */
  targets: string[]
}

/** Passes each request on to the next server in turn; to the one after it where nobody listens. */
export async function startBalancer(targets: string[]): Promise<Balancer> {
  const balancer = { url: '', targets }
  let next = 0
  const server = createServer(async (asked, reply) => {
    const body = await buffer(asked)
    for (let tried = 0; tried < balancer.targets.length; tried++) {
      const target = balancer.targets[next++ % balancer.targets.length] ?? ''
      if (await passOn(target, asked, body, reply)) return
    }
    reply.destroy()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return Object.assign(balancer, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
}

/** False when nobody listens there. A connection that breaks later breaks the caller's too. */
function passOn(
  target: string,
  asked: IncomingMessage,
  body: Buffer,
  reply: ServerResponse,
): Promise<boolean> {
  const { method, url, headers } = asked
  return new Promise((resolve) => {
    const forward = request(`${target}${url}`, { method, headers, agent: false }, (answer) => {
      reply.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(reply)
      answer.once('error', () => reply.destroy())
      resolve(true)
    })
    reply.once('close', () => forward.destroy())
    forward.once('error', (error) => {
      const refused = 'code' in error && error.code === 'ECONNREFUSED'
      if (!refused) reply.destroy()
      resolve(!refused)
    })
    forward.end(body)
  })
}
