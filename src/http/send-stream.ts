import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'

/** Answers with what comes piece by piece; a failure in the middle breaks the connection, so that nobody takes a part for the whole. */
export function sendStream(reply: FastifyReply, pieces: AsyncIterable<Uint8Array | string>): FastifyReply {
  return reply.send(Readable.from(pieces, { objectMode: false }))
}
