import { Type } from 'typebox'
import { ClientName } from './client-name.ts'
import { errorResponses } from './errors.ts'
import { turnSettings } from './settings.ts'
import { Turn } from './turns.ts'

const Usage = Type.Object(
  { input_tokens: Type.Integer(), output_tokens: Type.Integer(), total_tokens: Type.Integer() },
  { description: 'Tokens as the upstream counted them; absent where it gives none' },
)

/** Why an answer is shorter than the model would have made it. */
export const Incomplete = Type.Enum(['max_output_tokens', 'content_filter', 'max_output_bytes'], {
  type: 'string',
  description: 'Set when the answer was cut short: why',
})

export const querySchema = {
  operationId: 'query',
  tags: ['conversation'],
  summary: '사용자 입력에 대한 응답 생성',
  description:
    'Answers a message with the whole conversation of this client in mind. Both are kept before the answer is sent; after an error neither is in the history.',
  body: Type.Object(
    {
      input: Type.String({ minLength: 1, description: '사용자 입력 텍스트' }),
      client_name: ClientName,
      ...Type.Partial(Type.Object(turnSettings)).properties,
      stream: Type.Optional(
        Type.Boolean({
          description: 'Answer with events as they happen; so does `Accept: text/event-stream`',
        }),
      ),
      background: Type.Optional(Type.Boolean({ description: 'Answer 202 with the turn at once' })),
      multitask_strategy: Type.Optional(
        Type.Enum(['enqueue', 'reject', 'interrupt'], {
          type: 'string',
          description:
            'When another message is being answered: wait, be refused, or cancel that one and come next',
        }),
      ),
      on_disconnect: Type.Optional(
        Type.Enum(['continue', 'cancel'], {
          type: 'string',
          description: 'What becomes of the turn when this connection closes before its answer is sent',
        }),
      ),
    },
    { examples: [{ input: 'Hello', client_name: 'minsu' }] },
  ),
  headers: Type.Object({
    'idempotency-key': Type.Optional(
      Type.String({
        pattern: '^[\\x21-\\x7e]{1,255}$',
        description:
          'A repeated request with the same key within 24 hours is the same message, and is answered once',
      }),
    ),
    prefer: Type.Optional(
      Type.String({
        description: '`wait=5`: answer 202 with the turn when there is no answer after 5 seconds',
      }),
    ),
  }),
  response: {
    202: Turn,
    200: Type.Object(
      {
        response: Type.String({ description: 'OpenAI 응답 텍스트' }),
        turn_id: Type.String({ description: 'This message and its answer' }),
        model: Type.String({ description: 'The model that answered' }),
        usage: Type.Optional(Usage),
        incomplete: Type.Optional(Incomplete),
      },
      { description: '성공적인 응답' },
    ),
    ...errorResponses(400, 409, 410, 413, 415, 422, 429, 502, 503, 504, 507),
  },
}
