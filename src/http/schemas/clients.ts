import { type TProperties, type TSchema, Type } from 'typebox'
import { errorResponses } from './errors.ts'
import { clientSettings, metadataOf } from './settings.ts'

const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])

const allOptional = <P extends TProperties>(properties: P) => Type.Partial(Type.Object(properties))

/** A change of settings: null takes one back, what is left out stays (RFC 7396, JSON Merge Patch). */
const SettingsPatch = Type.Object(
  {
    model: Type.Optional(nullable(clientSettings.model)),
    instructions: Type.Optional(nullable(clientSettings.instructions)),
    temperature: Type.Optional(nullable(clientSettings.temperature)),
    top_p: Type.Optional(nullable(clientSettings.top_p)),
    max_output_tokens: Type.Optional(nullable(clientSettings.max_output_tokens)),
    stop: Type.Optional(nullable(clientSettings.stop)),
    reasoning_effort: Type.Optional(nullable(clientSettings.reasoning_effort)),
    fallback: Type.Optional(nullable(clientSettings.fallback)),
    compaction: Type.Optional(nullable(clientSettings.compaction)),
    compact_at: Type.Optional(nullable(clientSettings.compact_at)),
    summary_model: Type.Optional(nullable(clientSettings.summary_model)),
    retention_days: Type.Optional(nullable(clientSettings.retention_days)),
    metadata: Type.Optional(nullable(metadataOf(nullable(Type.String({ maxLength: 512 }))))),
  },
  { additionalProperties: false, examples: [{ instructions: 'Answer in one sentence.', temperature: 0.3 }] },
)

const Settings = allOptional(clientSettings)

const Client = Type.Object(
  {
    client_name: Type.String(),
    model: nullable(Type.String({ description: 'The model that the next message goes to' })),
    settings: Settings,
    turns: Type.Integer({ description: 'In the history' }),
    summarised_turns: Type.Integer({ description: 'Of these, the ones a summary stands for in the context' }),
    input_tokens: Type.Integer({ description: 'As the upstream counted them, for what is in the history' }),
    output_tokens: Type.Integer(),
    created_at: Type.String({ format: 'date-time' }),
    last_active_at: Type.String({ format: 'date-time' }),
    compaction_error: Type.Optional(
      Type.String({ description: 'Why older turns could not be summarised the last time' }),
    ),
  },
  { description: 'A client: one name, its settings and its conversation' },
)

const Range = Type.Object({
  first: Type.String({ description: 'The turn_id of the first one' }),
  last: Type.String(),
  turns: Type.Integer(),
})

const Summary = Type.Object({
  id: Type.String(),
  turns: Type.Integer({ description: 'How many turns it stands for, from the first on' }),
  tokens: Type.Integer(),
  model: Type.String({ description: 'The model that wrote it' }),
  created_at: Type.String({ format: 'date-time' }),
  text: Type.String(),
})

const Context = Type.Object({
  model: Type.String(),
  window: Type.Integer({ description: 'Of the model, in tokens, for the question and the answer' }),
  reserved_for_answer: Type.Integer(),
  tokens: Type.Integer({ description: 'Of all items' }),
  room: Type.Integer({ description: 'What is left for the next input' }),
  items: Type.Array(
    Type.Object({
      origin: Type.Enum(['instructions', 'pinned', 'summary', 'verbatim'], { type: 'string' }),
      id: Type.Optional(Type.String()),
      turn_id: Type.Optional(Type.String()),
      covers: Type.Optional(Range),
      tokens: Type.Integer(),
      message: Type.Object({ role: Type.String(), content: Type.String() }),
    }),
    { description: 'What would be sent before the next input, in this order' },
  ),
  left_out: nullable(
    Type.Object(
      { ...Range.properties, reason: Type.String() },
      { description: 'Turns that are neither sent nor summarised' },
    ),
  ),
  pins_left_out: Type.Array(Type.String(), { description: 'Pinned messages for which there is no room' }),
})

export const clientParams = Type.Object({
  name: Type.String({ description: 'The client_name, percent-encoded' }),
})
const itemParams = Type.Object({
  ...clientParams.properties,
  id: Type.String({ description: 'The id of a message' }),
})
const tags = ['clients']

export const listClientsSchema = {
  ...{ operationId: 'listClients', tags, summary: 'The clients, the ones last active first' },
  querystring: Type.Object({
    prefix: Type.Optional(Type.String({ description: 'Only names that begin so' })),
    limit: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 1_000, description: 'At most so many (default 50)' }),
    ),
    cursor: Type.Optional(Type.String({ minLength: 1, description: 'The `next` of the page before' })),
  }),
  response: {
    200: Type.Object({ clients: Type.Array(Client), next: nullable(Type.String()) }),
    ...errorResponses(400, 503),
  },
}

export const getClientSchema = {
  ...{
    operationId: 'getClient',
    tags,
    summary: 'A client: its settings and what became of its conversation',
    params: clientParams,
  },
  response: { 200: Client, ...errorResponses(400, 404, 503) },
}

export const updateClientSchema = {
  ...{ operationId: 'updateClient', tags, summary: 'Change the settings of a client', params: clientParams },
  description: 'A client that is not there yet is made. null takes a setting back; what is left out stays.',
  body: SettingsPatch,
  response: { 200: Client, ...errorResponses(400, 413, 415, 429, 502, 503, 504, 507) },
}

export const eraseClientSchema = {
  ...{
    operationId: 'eraseClient',
    tags,
    summary: 'Erase a client: history, summaries and settings',
    params: clientParams,
  },
  response: { 200: Type.Object({ message: Type.String() }), ...errorResponses(400, 503, 507) },
}

export const getContextSchema = {
  ...{ operationId: 'getContext', tags, summary: 'What the model would be sent now', params: clientParams },
  description:
    'Exactly, message by message, with sizes in tokens, where each comes from, and what is left out.',
  response: { 200: Context, ...errorResponses(400, 502, 503) },
}

export const compactSchema = {
  ...{ operationId: 'compactClient', tags, summary: 'Summarise the older turns now', params: clientParams },
  description:
    'The history stays as it is. In the context one summary stands in the place of the older turns.',
  body: Type.Object(
    {
      keep_turns: Type.Optional(
        Type.Integer({
          minimum: 0,
          maximum: 1_000_000,
          description: 'How many of the newest stay as they are (default 2)',
        }),
      ),
    },
    { additionalProperties: false, examples: [{ keep_turns: 2 }] },
  ),
  response: {
    200: Type.Object({ summary: nullable(Summary) }),
    ...errorResponses(400, 404, 409, 410, 429, 502, 503, 504, 507),
  },
}

export const pinSchema = {
  ...{ operationId: 'pinItem', tags, summary: 'Keep a message in the context for good', params: itemParams },
  description: 'Once its turn is no longer sent as it was, the message goes in front, word for word.',
  response: {
    200: Type.Object({ id: Type.String(), pinned: Type.Boolean() }),
    ...errorResponses(400, 404, 503, 507),
  },
}

export const unpinSchema = {
  ...pinSchema,
  operationId: 'unpinItem',
  summary: 'Take a pin away',
  description: '',
}

export const getDefaultsSchema = {
  ...{ operationId: 'getDefaults', tags, summary: 'The settings of clients that have none of their own' },
  response: { 200: Settings, ...errorResponses(503) },
}

export const updateDefaultsSchema = {
  ...{
    operationId: 'updateDefaults',
    tags,
    summary: 'Change the settings of clients that have none of their own',
  },
  body: SettingsPatch,
  response: { 200: Settings, ...errorResponses(400, 413, 415, 429, 502, 503, 504, 507) },
}
