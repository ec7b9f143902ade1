import { clientOf } from '../../conversation/access/caller.ts'
import type { Models } from '../../conversation/models.ts'
import { settingsFor } from '../../conversation/new-turn.ts'
import type { Now } from '../../conversation/ports.ts'
import type { Store } from '../../conversation/store.ts'
import type { App } from '../app-type.ts'
import { getCurrentModelSchema, getModelsSchema, setModelSchema } from '../schemas/models.ts'

export function modelRoutes(
  app: App,
  { models, store, now }: { models: Models; store: Store; now: Now },
): void {
  app.get('/models', { schema: getModelsSchema }, async () => ({
    object: 'list',
    data: (await models.list()).map((model) => ({ ...model, permission: [...model.permission] })),
  }))

  app.get('/model', { schema: getCurrentModelSchema }, async ({ caller, query }) => {
    const { model } = await settingsFor({ store, models }, clientOf(caller, query.client_name))
    return { model }
  })

  app.post('/model', { schema: setModelSchema }, async ({ caller, body }) => {
    const key = clientOf(caller, body.client_name)
    await models.check(body.model)
    await store.updateClient(key, { model: body.model }, now())
    return { model: body.model }
  })
}
