import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'

/** How much text is sent in one piece, in UTF-16 units. */
const piece = 65_536

/**
 * Answers with a JSON array, page by page, so that one of any length is sent from little memory. The first page
 * is read before anything is sent: until then a failure still has a status.
 */
export async function sendJsonArray<T>(
  reply: FastifyReply,
  pages: AsyncIterable<readonly T[]>,
  toJson: (item: T) => object,
): Promise<FastifyReply> {
  const rest = pages[Symbol.asyncIterator]()
  const first = await rest.next()
  reply.type('application/json; charset=utf-8')
  return reply.send(Readable.from(textOf(first, rest, toJson)))
}

async function* textOf<T>(
  first: IteratorResult<readonly T[]>,
  rest: AsyncIterator<readonly T[]>,
  toJson: (item: T) => object,
): AsyncGenerator<string> {
  let text = '['
  let comma = ''
  for (let page = first; !page.done; page = await rest.next()) {
    for (const item of page.value) {
      text += comma + JSON.stringify(toJson(item))
      comma = ','
      if (text.length < piece) continue
      yield text
      text = ''
    }
  }
  yield `${text}]`
}
