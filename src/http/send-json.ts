import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import { joined, jsonAround, textPieces } from './json-pieces.ts'

/** Answers with a value as JSON; one with a very long text goes out piece by piece, and is never in memory as a whole. */
export function sendJson(reply: FastifyReply, value: object): FastifyReply {
  const json = jsonAround(value)
  reply.header('content-type', 'application/json; charset=utf-8')
  if (json.texts.length === 0) return reply.send(json.around[0])
  return reply.send(Readable.from(joined(json, textPieces), { objectMode: false }))
}
