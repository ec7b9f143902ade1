import type { Static } from 'typebox'
import { clientOf } from '../../conversation/access/caller.ts'
import type { HistoryEntry } from '../../conversation/conversation.ts'
import type { Store } from '../../conversation/store.ts'
import { checkText } from '../../conversation/text.ts'
import type { Turns } from '../../conversation/turns.ts'
import type { App } from '../app-type.ts'
import { sendJsonArray } from '../json-array.ts'
import { clearHistorySchema, getHistorySchema, type HistoryMessage } from '../schemas/history.ts'

export function historyRoutes(app: App, { turns, store }: { turns: Turns; store: Store }): void {
  app.get('/history', { schema: getHistorySchema }, async ({ caller, query }, reply) => {
    const { client_name, limit, before } = query
    if (before !== undefined) checkText(before)
    const key = clientOf(caller, client_name)
    const pages = store.history(key, limit === undefined ? undefined : Math.floor(limit / 2), before)
    return sendJsonArray(reply, pages, toJson)
  })

  app.delete('/history', { schema: clearHistorySchema }, async ({ caller, query }) => {
    const erased = await turns.clear(clientOf(caller, query.client_name))
    return { message: `The history is cleared: ${erased} messages were erased.` }
  })
}

function toJson({ id, role, content, at, turnId, incomplete }: HistoryEntry): Static<typeof HistoryMessage> {
  const timestamp = new Date(at).toISOString()
  return { role, content, timestamp, turn_id: turnId, id, ...(incomplete && { incomplete }) }
}
