import { Type } from 'typebox'
import { clientParams } from './clients.ts'
import { errorResponses } from './errors.ts'
import { HistoryMessage, mostText } from './history.ts'
import { clientSettings } from './settings.ts'

/** What the export of a client begins with. Other versions of it are other formats. */
export const format = { name: 'daehwa.client', version: 1 } as const
export const archiveType = 'application/x-ndjson'

const strict = { additionalProperties: false } as const
const time = Type.String({ format: 'date-time' })
const tokens = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
const model = Type.String({ minLength: 1, maxLength: 256 })

export const ClientLine = Type.Object(
  {
    format: Type.Literal(format.name),
    version: Type.Literal(format.version),
    tenant: Type.Optional(Type.String({ description: 'Whose it was. It is no authority' })),
    client_name: Type.String(),
    settings: Type.Object(Type.Partial(Type.Object(clientSettings)).properties, strict),
    created_at: time,
    last_active_at: time,
  },
  strict,
)

export const SummaryLine = Type.Object(
  {
    summary: Type.String({ maxLength: mostText }),
    turns: Type.Integer({ minimum: 1, description: 'For how many of the oldest turns it stands' }),
    ...{ tokens, model, timestamp: time, id: Type.String() },
  },
  strict,
)

export const MessageLine = Type.Object(
  {
    ...HistoryMessage.properties,
    content: Type.String({ maxLength: mostText }),
    pinned: Type.Optional(Type.Literal(true)),
    model: Type.Optional(model),
    usage: Type.Optional(
      Type.Object({ input_tokens: tokens, output_tokens: tokens, total_tokens: tokens }, strict),
    ),
    reasoning: Type.Optional(Type.String({ maxLength: mostText })),
  },
  strict,
)

export const EndLine = Type.Object(
  { end: Type.Literal(true), messages: Type.Integer({ minimum: 0 }) },
  strict,
)

const content = { [archiveType]: { schema: Type.String() } }
const exported = {
  description:
    'JSON Lines: the client with its settings, its summary if it has one, each message in order, and {"end":true,"messages":N}',
  content,
}
const imported = Type.Object(
  { tenant: Type.String(), client_name: Type.String(), messages: Type.Integer() },
  { description: 'What is there now' },
)
const body = { content: { [archiveType]: { schema: { description: 'What an export gave' } } } }
const importResponse = { 200: imported, ...errorResponses(400, 403, 409, 413, 415, 503, 507) }

export const exportClientSchema = {
  ...{ operationId: 'exportClient', tags: ['clients'], params: clientParams },
  summary: 'All that is kept of a client, as JSON Lines',
  description: 'An export whose last line is not {"end":true,…} was cut off.',
  response: { 200: exported, ...errorResponses(400, 403, 404, 410, 503) },
}

export const importClientSchema = {
  ...{ operationId: 'importClient', tags: ['clients'], params: clientParams, body },
  summary: 'Take the export of a client in',
  description:
    'Into a client that has no history: all of it, or nothing. Its settings take the place of those that are there.',
  response: importResponse,
}

const filter = {
  tenant: Type.Optional(Type.String({ description: 'Only of this tenant' })),
  client_name: Type.Optional(Type.String({ description: 'Only clients of this name' })),
}

export const exportAllSchema = {
  ...{ operationId: 'exportClients', tags: ['operations'], querystring: Type.Object(filter) },
  summary: 'The clients of all tenants, one export after the other',
  description: 'Each as it is when its turn comes. The last line is {"clients":N}. For the operator alone.',
  response: { 200: exported, ...errorResponses(400, 403, 410, 503) },
}

export const importIntoSchema = {
  ...{ operationId: 'importIntoTenant', tags: ['operations'], body },
  querystring: Type.Object({
    tenant: Type.Optional(Type.String({ description: 'Whose it will be; without it the one that it names' })),
  }),
  summary: 'Take the export of a client of any tenant in',
  description: 'The same for the operator alone.',
  response: importResponse,
}
