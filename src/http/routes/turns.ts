import { checkText } from '../../conversation/text.ts'
import { responseObject } from '../../conversation/turn-event.ts'
import type { Turns } from '../../conversation/turns.ts'
import type { App } from '../app-type.ts'
import type { EventEncoder } from '../encode-event.ts'
import { sendEvents } from '../event-stream.ts'
import { cancelTurnSchema, getTurnEventsSchema, getTurnSchema } from '../schemas/turns.ts'
import { sendJson } from '../send-json.ts'

export function turnRoutes(app: App, { turns, encode }: { turns: Turns; encode: EventEncoder }): void {
  app.get('/turns/:id', { schema: getTurnSchema }, async ({ caller, params }, reply) => {
    checkText(params.id)
    return sendJson(reply, responseObject((await turns.find(caller, params.id)).record))
  })

  app.get(
    '/turns/:id/events',
    { schema: getTurnEventsSchema },
    async ({ caller, params, query, headers }, reply) => {
      checkText(params.id)
      const turn = await turns.find(caller, params.id)
      const last = headers['last-event-id']
      await sendEvents(reply, turn, last === undefined ? (query.after ?? -1) : Number(last), encode)
      return reply
    },
  )

  const config = { whileStopping: true }

  app.post('/turns/:id/cancel', { schema: cancelTurnSchema, config }, async ({ caller, params }) => {
    checkText(params.id)
    return responseObject(await turns.cancel(caller, params.id))
  })
}
