/**
 * The least that a server in Node can do: it forwards the body that it is sent, parses nothing and keeps nothing. What any
 * other server does beyond that is measured against it. Address of the upstream in UPSTREAM, port in PORT.
 */
import { createServer } from 'node:http'
import { Agent, request } from 'undici'

const upstream = `${process.env['UPSTREAM']}/chat/completions`
const dispatcher = new Agent({ headersTimeout: 0, bodyTimeout: 0 })
const headers = { 'content-type': 'application/json' }

createServer((asked, answer) => {
  const pieces: Buffer[] = []
  asked.on('data', (piece: Buffer) => pieces.push(piece))
  asked.on('end', async () => {
    if (asked.method === 'GET') {
      answer.end()
      return
    }
    const [first = Buffer.alloc(0)] = pieces
    const body = pieces.length === 1 ? first : Buffer.concat(pieces)
    const reply = await request(upstream, { method: 'POST', headers, body, dispatcher })
    answer.writeHead(reply.statusCode, { 'content-type': String(reply.headers['content-type']) })
    reply.body.pipe(answer)
  })
}).listen(Number(process.env['PORT']), '127.0.0.1')
