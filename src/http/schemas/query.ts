import { Type } from 'typebox'
import { ClientName } from './client-name.ts'
import { errorResponses } from './errors.ts'

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
      model: Type.Optional(Type.String({ description: 'The model for this message alone' })),
      instructions: Type.Optional(
        Type.String({ minLength: 1, description: 'What the model is told first, for this message alone' }),
      ),
    },
    { examples: [{ input: 'Hello', client_name: 'minsu' }] },
  ),
  response: {
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
    ...errorResponses(400, 409, 410, 413, 415, 429, 502, 503, 504, 507),
  },
}
