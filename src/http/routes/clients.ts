import { clientOf } from '../../conversation/access/caller.ts'
import type { Clients, ShownClient } from '../../conversation/clients.ts'
import { summaryText } from '../../conversation/context/summary-prompt.ts'
import type { ContextView } from '../../conversation/context/view-context.ts'
import type { Compaction } from '../../conversation/conversation.ts'
import { checkText } from '../../conversation/text.ts'
import type { App } from '../app-type.ts'
import {
  compactSchema,
  eraseClientSchema,
  getClientSchema,
  getContextSchema,
  getDefaultsSchema,
  listClientsSchema,
  pinSchema,
  unpinSchema,
  updateClientSchema,
  updateDefaultsSchema,
} from '../schemas/clients.ts'
import { sendJson } from '../send-json.ts'

export function clientRoutes(app: App, { clients }: { clients: Clients }): void {
  app.get('/clients', { schema: listClientsSchema }, async ({ caller, query }, reply) => {
    const { prefix = '', limit = 50, cursor } = query
    checkText(prefix)
    const page = await clients.list(caller, { prefix: prefix.normalize('NFC'), limit, cursor })
    return sendJson(reply, { clients: page.clients.map(toJson), next: page.next ?? null })
  })

  app.get('/clients/:name', { schema: getClientSchema }, async ({ caller, params }, reply) =>
    sendJson(reply, toJson(await clients.read(clientOf(caller, params.name)))),
  )

  app.patch('/clients/:name', { schema: updateClientSchema }, async ({ caller, params, body }, reply) =>
    sendJson(reply, toJson(await clients.update(clientOf(caller, params.name), body))),
  )

  app.delete('/clients/:name', { schema: eraseClientSchema }, async ({ caller, params }) => {
    const erased = await clients.erase(clientOf(caller, params.name))
    return { message: `The client is erased: ${erased} messages and its settings.` }
  })

  app.get('/clients/:name/context', { schema: getContextSchema }, async ({ caller, params }, reply) =>
    sendJson(reply, contextJson(await clients.context(clientOf(caller, params.name)))),
  )

  const begins = { begins: true }
  app.post('/clients/:name/compact', { schema: compactSchema, config: begins }, async (request) => {
    const { caller, params, body } = request
    const key = clientOf(caller, params.name)
    const summary = await clients.compact(key, body.keep_turns ?? 2)
    return { summary: summary === undefined ? null : summaryJson(summary) }
  })

  for (const method of ['POST', 'DELETE'] as const) {
    app.route({
      ...{ method, url: '/clients/:name/items/:id/pin', schema: method === 'POST' ? pinSchema : unpinSchema },
      handler: async ({ caller, params }) => {
        checkText(params.id)
        await clients.pin(clientOf(caller, params.name), params.id, method === 'POST')
        return { id: params.id, pinned: method === 'POST' }
      },
    })
  }

  const config = { wholeTenant: true }
  app.get('/defaults', { schema: getDefaultsSchema, config }, async ({ caller }, reply) =>
    sendJson(reply, await clients.defaults(caller.tenant)),
  )

  app.patch('/defaults', { schema: updateDefaultsSchema, config }, async ({ caller, body }, reply) =>
    sendJson(reply, await clients.updateDefaults(caller.tenant, body)),
  )
}

function toJson({ client, model }: ShownClient) {
  const { state, settings, compactionError } = client
  return {
    client_name: client.name,
    model: model ?? null,
    settings,
    turns: state.nextSeq - state.firstSeq,
    summarised_turns: Math.max(0, state.compactedTo - state.firstSeq),
    input_tokens: client.inputTokens,
    output_tokens: client.outputTokens,
    created_at: new Date(client.createdAt).toISOString(),
    last_active_at: new Date(client.activeAt).toISOString(),
    ...(compactionError && { compaction_error: compactionError }),
  }
}

const summaryJson = (summary: Compaction) => ({
  id: summary.id,
  turns: summary.toSeq - summary.fromSeq,
  tokens: summary.tokens,
  model: summary.model,
  created_at: new Date(summary.at).toISOString(),
  text: summaryText(summary),
})

const contextJson = ({ model, window, answer, tokens, room, items, leftOut, pinsLeftOut }: ContextView) => ({
  ...{ model, window, reserved_for_answer: answer, tokens, room },
  items: items.map(({ origin, id, turnId, covers, tokens: size, json }) => ({
    ...{ origin, id, turn_id: turnId, covers, tokens: size },
    message: JSON.parse(json) as object,
  })),
  left_out: leftOut === undefined ? null : { ...leftOut, reason: 'there is no room for them in the window' },
  pins_left_out: pinsLeftOut,
})
