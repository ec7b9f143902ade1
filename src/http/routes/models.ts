import { clientName } from '../../conversation/client-name.ts'
import type { Models } from '../../conversation/models.ts'
import type { Now, Store } from '../../conversation/ports.ts'
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

  app.get('/model', { schema: getCurrentModelSchema }, async ({ tenant, query }) => {
    const key = { tenant, client: clientName(query.client_name) }
    return { model: (await store.model(key)) ?? (await models.default()) }
  })

  app.post('/model', { schema: setModelSchema }, async ({ tenant, body }) => {
    const key = { tenant, client: clientName(body.client_name) }
    await models.check(body.model)
    await store.setModel(key, body.model, now())
    return { model: body.model }
  })
}
