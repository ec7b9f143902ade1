import { clientName } from '../../conversation/client-name.ts'
import type { Store } from '../../conversation/ports.ts'
import { checkText } from '../../conversation/text.ts'
import type { Turns } from '../../conversation/turns.ts'
import type { App } from '../app-type.ts'
import { clearHistorySchema, getHistorySchema } from '../schemas/history.ts'

export function historyRoutes(app: App, { turns, store }: { turns: Turns; store: Store }): void {
  app.get('/history', { schema: getHistorySchema }, async ({ tenant, query }) => {
    const { client_name, limit, before } = query
    if (before !== undefined) checkText(before)
    const key = { tenant, client: clientName(client_name) }
    const entries = await store.history(key, limit === undefined ? undefined : Math.floor(limit / 2), before)
    return entries.map(({ role, content, at, turnId, incomplete }) => ({
      role,
      content,
      timestamp: new Date(at).toISOString(),
      turn_id: turnId,
      ...(incomplete && { incomplete }),
    }))
  })

  app.delete('/history', { schema: clearHistorySchema }, async ({ tenant, query }) => {
    const erased = await turns.clear({ tenant, client: clientName(query.client_name) })
    return { message: `The history is cleared: ${erased} messages were erased.` }
  })
}
