import type { ServerResponse } from 'node:http'
import type { FastifyReply } from 'fastify'
import { answered, type Followable } from '../conversation/follow-turn.ts'
import type { EventEncoder } from './encode-event.ts'

/** Milliseconds between two comments that keep an idle stream open through proxies. */
const heartbeat = 15_000
/** A reader who takes nothing for so long while so much waits for them is cut; after the longer time in any case. */
const stall = { check: 1_000, mayLast: 5_000, atMost: 60_000, backlog: 256 * 1024 }

/** Answers with the events of a turn after the number `after`, until its last one. */
export async function sendEvents(
  reply: FastifyReply,
  turn: Followable,
  after: number,
  encode: EventEncoder,
): Promise<void> {
  const raw = open(reply, 'text/event-stream; charset=utf-8')
  const beat = setInterval(() => raw.writableNeedDrain || raw.write(':\n\n'), heartbeat)
  try {
    await forEachEvent(raw, turn, after, encode)
    raw.end('data: [DONE]\n\n')
  } finally {
    clearInterval(beat)
  }
}

/**
 * Answers with the bare text as it comes. A turn that fails before its first word is an error with a status;
 * after it the connection is cut, so that nobody takes half an answer for a whole one.
 */
export async function sendText(reply: FastifyReply, turn: Followable): Promise<void> {
  let raw: ServerResponse | undefined
  const opened = () => (raw ??= open(reply, 'text/plain; charset=utf-8'))
  await forEachEvent(reply.raw, turn, -1, function* (events) {
    for (const { delta, sequence_number: number } of events) {
      if (delta === undefined) continue
      opened()
      yield { bytes: Buffer.from(delta), number }
    }
  })
  const record = await turn.ended
  if (raw === undefined) answered(record)
  if (record.error === undefined) opened().end()
  else reply.raw.destroy()
}

function open(reply: FastifyReply, type: string): ServerResponse {
  reply.header('content-type', type).header('x-accel-buffering', 'no')
  reply.hijack()
  reply.raw.writeHead(200, reply.getHeaders() as Record<string, string>)
  reply.raw.flushHeaders()
  if (reply.request.method === 'HEAD') reply.raw.end()
  return reply.raw
}

async function forEachEvent(
  raw: ServerResponse,
  turn: Followable,
  after: number,
  encode: EventEncoder,
): Promise<void> {
  const gone = new AbortController()
  const onClose = () => gone.abort()
  raw.once('close', onClose)
  try {
    for await (const events of turn.follow(after, gone.signal)) {
      for (const { bytes, number } of encode(events)) {
        if (raw.destroyed) return
        if (raw.write(bytes)) continue
        await drained(raw, turn, number)
        if (await turn.erased()) raw.destroy() // a slow reader is told no more of what was cleared
      }
      if (raw.destroyed) return
    }
  } finally {
    raw.off('close', onClose)
  }
}

/** Resolves when the reader has taken what was written, has gone, or was cut for taking nothing. */
function drained(raw: ServerResponse, turn: Followable, number: number): Promise<void> {
  return new Promise((resolve) => {
    const begin = performance.now()
    const timer = setInterval(() => {
      const waited = performance.now() - begin
      if (waited < stall.mayLast) return
      if (waited > stall.atMost || turn.behind(number) > stall.backlog) raw.destroy()
    }, stall.check)
    const done = () => {
      clearInterval(timer)
      raw.off('drain', done).off('close', done)
      resolve()
    }
    raw.once('drain', done).once('close', done)
    if (raw.destroyed) done()
  })
}
