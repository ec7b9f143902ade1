import { createHash } from 'node:crypto'
import type { FastifyReply } from 'fastify'
import { clientOf } from '../../conversation/access/caller.ts'
import { answered, type Followable } from '../../conversation/follow-turn.ts'
import type { TurnRecord } from '../../conversation/turn.ts'
import { responseObject } from '../../conversation/turn-event.ts'
import type { Turns } from '../../conversation/turns.ts'
import type { App } from '../app-type.ts'
import { canonicalJson } from '../canonical-json.ts'
import type { EventEncoder } from '../encode-event.ts'
import { sendEvents, sendText } from '../event-stream.ts'
import { querySchema } from '../schemas/query.ts'
import { turnSettings } from '../schemas/settings.ts'
import { sendJson } from '../send-json.ts'

const settingNames = Object.keys(turnSettings) as (keyof typeof turnSettings)[]

export function queryRoute(app: App, { turns, encode }: { turns: Turns; encode: EventEncoder }): void {
  app.post(
    '/query',
    { schema: querySchema, config: { begins: true } },
    async ({ caller, body, headers, span }, reply) => {
      const { input, multitask_strategy: strategy } = body
      const key = clientOf(caller, body.client_name)
      const once = headers['idempotency-key']
      const idempotency =
        once === undefined
          ? undefined
          : idempotencyOf(once, caller.client, { ...body, client_name: key.client })
      const settings = Object.fromEntries(
        settingNames.filter((name) => body[name] !== undefined).map((name) => [name, body[name]]),
      )
      const asked = { key, input, settings, strategy, idempotency, caller, of: span }
      const { turn, replayed } = await turns.begin(asked)
      if (replayed) reply.header('idempotency-replayed', 'true')
      const { id } = turn.record
      if (body.on_disconnect === 'cancel') {
        onDisconnect(reply, () =>
          turns
            .cancel(key, id)
            .catch((err: unknown) => app.log.warn({ err }, 'a turn could not be cancelled')),
        )
      }
      const accept = headers.accept ?? ''
      if (body.background === true) return accepted(reply, turn)
      if (body.stream === true || accept.includes('text/event-stream'))
        return hijacked(sendEvents(reply, turn, -1, encode), reply)
      if (accept.includes('text/plain')) return hijacked(sendText(reply, turn), reply)
      const seconds = waitOf(headers.prefer)
      const record = seconds === undefined ? await turn.ended : await endedWithin(turn, seconds)
      return record === undefined ? accepted(reply, turn) : sendJson(reply, answerOf(record))
    },
  )
}

/** Calls back when the connection closes, or has closed already, before the answer was sent. */
function onDisconnect({ raw }: FastifyReply, callback: () => unknown): void {
  if (raw.destroyed) callback()
  else raw.once('close', () => raw.writableFinished || callback())
}

const hijacked = async (sent: Promise<void>, reply: FastifyReply): Promise<FastifyReply> => {
  await sent
  return reply
}

/** 202: the turn goes on, and can be read at the address in `Location`. */
function accepted(reply: FastifyReply, { record }: Followable): FastifyReply {
  return reply.code(202).header('location', `/turns/${record.id}`).send(responseObject(record))
}

function answerOf(record: TurnRecord) {
  const { id, text, model, usage, incomplete } = answered(record)
  return { response: text, turn_id: id, model, ...(usage && { usage }), ...(incomplete && { incomplete }) }
}

/** Keys of one client are its own: whoever may touch that one alone neither meets nor takes away those of others. */
function idempotencyOf(key: string, client: string | undefined, body: object) {
  return {
    key: client === undefined ? key : `${client}\n${key}`,
    fingerprint: createHash('sha256')
      .update(`POST /query ${canonicalJson(body)}`)
      .digest('hex'),
  }
}

/** The seconds of `Prefer: wait=…` (RFC 7240, 4.3). */
function waitOf(prefer: string | undefined): number | undefined {
  const seconds = /(?:^|[,;\s])wait=(\d{1,6})/.exec(prefer ?? '')?.[1]
  return seconds === undefined ? undefined : Number(seconds)
}

async function endedWithin(turn: Followable, seconds: number): Promise<TurnRecord | undefined> {
  const { promise: late, resolve } = Promise.withResolvers<undefined>()
  const timer = setTimeout(resolve, seconds * 1000, undefined)
  const record = await Promise.race([turn.ended, late])
  clearTimeout(timer)
  return record
}
