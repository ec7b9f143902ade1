import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import { jsonPieces } from './json-pieces.ts'

/** Answers with a value as JSON; one with a very long text goes out piece by piece, and is never in memory as a whole. */
export function sendJson(reply: FastifyReply, value: object): FastifyReply {
  const json = jsonPieces(value)
  reply.header('content-type', 'application/json; charset=utf-8')
  return reply.send(typeof json === 'string' ? json : Readable.from(json, { objectMode: false }))
}
