import { type TSchema, Type } from 'typebox'
import { errorResponses } from './errors.ts'

const OutputMessage = Type.Object({
  id: Type.String(),
  type: Type.Literal('message'),
  role: Type.Literal('assistant'),
  status: Type.String(),
  content: Type.Array(
    Type.Object({
      type: Type.Literal('output_text'),
      text: Type.String(),
      annotations: Type.Array(Type.Object({})),
    }),
  ),
})

const Reasoning = Type.Object(
  {
    id: Type.String(),
    type: Type.Literal('reasoning'),
    summary: Type.Array(Type.Object({})),
    content: Type.Array(Type.Object({ type: Type.Literal('reasoning_text'), text: Type.String() })),
  },
  { description: 'What the model thought aloud; it enters no context' },
)

const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])

/** A turn as Open Responses shows it ("The response object"). */
export const Turn = Type.Object(
  {
    id: Type.String({ description: 'The turn_id' }),
    object: Type.Literal('response'),
    created_at: Type.Integer({ description: 'Unix seconds' }),
    completed_at: Type.Union([Type.Integer(), Type.Null()]),
    status: Type.Enum(['queued', 'in_progress', 'completed', 'incomplete', 'failed', 'cancelled'], {
      type: 'string',
    }),
    model: Type.String(),
    output: Type.Array(Type.Union([Reasoning, OutputMessage]), {
      description: 'The answer; of a turn that failed what had come of it',
    }),
    usage: nullable(
      Type.Object({
        input_tokens: Type.Integer(),
        output_tokens: Type.Integer(),
        total_tokens: Type.Integer(),
      }),
    ),
    error: nullable(Type.Object({ code: Type.String(), message: Type.String() })),
    incomplete_details: nullable(Type.Object({ reason: Type.String() })),
  },
  { description: 'The turn' },
)

const params = Type.Object({ id: Type.String({ description: 'A turn_id' }) })

export const getTurnSchema = {
  operationId: 'getTurn',
  tags: ['turns'],
  summary: 'Read a turn: one message and its answer',
  params,
  response: { 200: Turn, ...errorResponses(404, 503) },
}

export const cancelTurnSchema = {
  operationId: 'cancelTurn',
  tags: ['turns'],
  summary: 'Stop a turn that waits or runs',
  description:
    'What had come of the answer stays readable here and enters no history. A turn that has ended stays as it is.',
  params,
  response: { 200: Turn, ...errorResponses(404, 503) },
}

export const getTurnEventsSchema = {
  operationId: 'getTurnEvents',
  tags: ['turns'],
  summary: 'Follow a turn, from its beginning or from where one was',
  description:
    'Server-sent events as in Open Responses, each with its number as `id`, while the turn runs and after. The last is `data: [DONE]`.',
  params,
  querystring: Type.Object({
    after: Type.Optional(
      Type.Integer({
        minimum: -1,
        description: 'Only events after this number; so does the header `Last-Event-ID`',
      }),
    ),
  }),
  headers: Type.Object({ 'last-event-id': Type.Optional(Type.String({ pattern: '^[0-9]{1,15}$' })) }),
  response: {
    200: {
      description: 'The events, and then `data: [DONE]`',
      content: { 'text/event-stream': { schema: Type.String() } },
    },
    ...errorResponses(400, 404, 503),
  },
}
