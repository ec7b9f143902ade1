import { clientName } from '../../conversation/client-name.ts'
import type { Turns } from '../../conversation/turns.ts'
import type { App } from '../app-type.ts'
import { querySchema } from '../schemas/query.ts'

export function queryRoute(app: App, { turns }: { turns: Turns }): void {
  app.post('/query', { schema: querySchema }, async ({ tenant, body }) => {
    const { input, client_name, model, instructions } = body
    const answer = await turns.ask({
      key: { tenant, client: clientName(client_name) },
      input,
      model,
      instructions,
    })
    return {
      response: answer.text,
      turn_id: answer.turnId,
      model: answer.model,
      ...(answer.usage && { usage: answer.usage }),
      ...(answer.incomplete && { incomplete: answer.incomplete }),
    }
  })
}
