import { Type } from 'typebox'
import { ClientName, ClientQuery } from './client-name.ts'
import { errorResponses } from './errors.ts'
import { Incomplete } from './query.ts'

/** How long a text of a history may be that comes from elsewhere, in code points: no answer of a model is longer. */
export const mostText = 8 * 1024 * 1024

export const HistoryMessage = Type.Object({
  role: Type.Enum(['user', 'assistant'], { type: 'string' }),
  content: Type.String(),
  timestamp: Type.String({ format: 'date-time' }),
  turn_id: Type.String({ description: 'A message and its answer bear the same one' }),
  id: Type.String({ description: 'Of this message' }),
  incomplete: Type.Optional(Incomplete),
})

export const getHistorySchema = {
  operationId: 'getHistory',
  tags: ['conversation'],
  summary: '대화 기록 조회',
  description: 'The messages of this client, oldest first. Messages whose answer failed are not among them.',
  querystring: Type.Object(
    {
      client_name: ClientName,
      limit: Type.Optional(
        Type.Integer({
          minimum: 2,
          maximum: 10_000,
          description: 'How many of the newest messages to give; a message and its answer are never parted',
        }),
      ),
      before: Type.Optional(
        Type.String({ description: 'Only messages before this turn_id: the first of the page that one has' }),
      ),
    },
    { examples: [{ client_name: 'minsu', limit: '20' }] },
  ),
  response: {
    200: Type.Array(HistoryMessage, { description: '성공적인 응답' }),
    ...errorResponses(400, 503),
  },
}

export const clearHistorySchema = {
  operationId: 'clearHistory',
  tags: ['conversation'],
  summary: '대화 기록 초기화',
  description:
    'Erases the messages of this client at once and for good. One that is being answered is stopped and does not come back. The model stays chosen.',
  querystring: ClientQuery,
  response: {
    200: Type.Object({ message: Type.String() }, { description: '성공적인 응답' }),
    ...errorResponses(400, 503, 507),
  },
}
