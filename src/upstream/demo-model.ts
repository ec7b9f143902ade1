import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text as readBody } from 'node:stream/consumers'
import { setTimeout as wait } from 'node:timers/promises'

/** How long the demo model takes for an answer, in milliseconds, and over how many pieces. */
const pace = { total: 300, pieces: 30 }

export interface DemoModel extends AsyncDisposable {
  readonly baseUrl: string
}

interface Message {
  readonly role: string
  readonly content: string
}

/**
 * Starts the model `demo`: a server on loopback that speaks OpenAI's protocol and answers, word by word, from
 * nothing but what it is sent. It repeats the input, and tells of the earlier messages that came with it.
 */
export async function startDemoModel(): Promise<DemoModel> {
  const server = createServer((request, reply) => {
    route(request, reply).catch(() => reply.destroy())
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo
  return {
    baseUrl: `http://127.0.0.1:${port}/v1`,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}

/** What the demo model says, in the language of the input, to the messages of one request. */
export function demoAnswer(messages: readonly Message[]): string {
  const summary = demoSummary(messages)
  if (summary !== undefined) return summary
  const said = messages.filter(({ role }) => role === 'user' || role === 'assistant')
  const input = said.at(-1)?.content ?? ''
  const earlier = said.length - 1
  const first = said[0]?.content ?? ''
  if (/\p{Script=Hangul}/u.test(input)) {
    const memory =
      earlier > 0 ? ` 앞서 오간 메시지 ${earlier}개를 함께 받았고, 그중 첫 메시지는 "${first}"입니다.` : ''
    return `[데모] "${input}"${particle(input)} 하셨습니다.${memory}`
  }
  const memory = earlier > 0 ? ` ${earlier} earlier messages came with it; the first was "${first}".` : ''
  return `[demo] You said "${input}".${memory}`
}

/** What follows a quotation in Korean: after a final consonant another word than after a vowel. */
function particle(text: string): string {
  const last = text.match(/[가-힣](?=[^가-힣]*$)/)?.[0]
  return last !== undefined && (last.charCodeAt(0) - 0xac00) % 28 !== 0 ? '이라고' : '라고'
}

/** Asked for a summary, it says how many messages it was shown, and which was the first; undefined when it was not. */
function demoSummary(messages: readonly Message[]): string | undefined {
  const material =
    /^(?:<summary_so_far>\n(.*)\n<\/summary_so_far>\n)?<conversation>\n(.*)\n<\/conversation>$/s
  const [, before, turns] = material.exec(messages.at(-1)?.content ?? '') ?? []
  if (turns === undefined) return undefined
  const lines = turns.split(/\n(?=User: |Assistant: )/)
  const first = lines[0]?.replace(/^User: /, '') ?? ''
  const korean = /\p{Script=Hangul}/u.test(turns)
  if (before !== undefined) {
    return `${before} ${korean ? `그 뒤로 ${lines.length}개가 더 오갔습니다.` : `Then came ${lines.length} more.`}`
  }
  return korean
    ? `[데모] 메시지 ${lines.length}개가 오갔고, 첫 메시지는 "${first}"입니다.`
    : `[demo] ${lines.length} messages were said; the first was "${first}".`
}

async function route(request: IncomingMessage, reply: ServerResponse): Promise<void> {
  if (request.method === 'GET' && request.url === '/v1/models') {
    const model = { id: 'demo', object: 'model', created: 1_767_225_600, owned_by: 'daehwa' }
    return sendJson(reply, 200, { object: 'list', data: [model] })
  }
  if (request.method !== 'POST' || request.url !== '/v1/chat/completions') {
    return sendJson(reply, 404, { error: { message: 'no such route', type: 'invalid_request_error' } })
  }
  const { model, messages } = JSON.parse(await readBody(request)) as { model: string; messages: Message[] }
  if (model !== 'demo') {
    return sendJson(reply, 404, { error: { message: 'no such model', code: 'model_not_found' } })
  }
  await stream(reply, messages)
}

async function stream(reply: ServerResponse, messages: readonly Message[]): Promise<void> {
  const words = demoAnswer(messages).match(/\s*\S+\s*/g) ?? []
  const each = Math.ceil(words.length / pace.pieces)
  const send = (fields: object) => reply.write(`data: ${JSON.stringify({ model: 'demo', ...fields })}\n\n`)
  reply.writeHead(200, { 'content-type': 'text/event-stream' })
  for (let i = 0; i < words.length && !reply.destroyed; i += each) {
    send({
      choices: [{ index: 0, delta: { content: words.slice(i, i + each).join('') }, finish_reason: null }],
    })
    await wait(pace.total / pace.pieces)
  }
  send({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] })
  const prompt = messages.reduce((count, { content }) => count + countWords(content), 0)
  const usage = {
    prompt_tokens: prompt,
    completion_tokens: words.length,
    total_tokens: prompt + words.length,
  }
  send({ choices: [], usage })
  reply.end('data: [DONE]\n\n')
}

const countWords = (text: string): number => text.match(/\S+/g)?.length ?? 0

function sendJson(reply: ServerResponse, status: number, body: object): void {
  reply.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}
