import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'

interface PausingUpstream extends AsyncDisposable {
  readonly baseUrl: string
}

/** An upstream that begins an answer and says no more. */
export async function startPausingUpstream(): Promise<PausingUpstream> {
  const server = createServer(async (asked, answer) => {
    if (asked.method === 'GET') {
      answer.setHeader('content-type', 'application/json').end('{"object":"list","data":[]}')
      return
    }
    await buffer(asked)
    const choices = [{ index: 0, delta: { role: 'assistant', content: 'Well' }, finish_reason: null }]
    const chunk = { id: 'chatcmpl-paused', object: 'chat.completion.chunk', model: 'canned', choices }
    answer.setHeader('content-type', 'text/event-stream').write(`data: ${JSON.stringify(chunk)}\n\n`)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
