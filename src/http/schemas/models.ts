import { Type } from 'typebox'
import { ClientName, ClientQuery } from './client-name.ts'
import { errorResponses } from './errors.ts'

const Model = Type.Object({
  id: Type.String({ description: '모델 ID' }),
  object: Type.String({ description: '객체 타입' }),
  created: Type.Integer({ description: '생성 시간 (Unix timestamp)' }),
  owned_by: Type.String({ description: '모델 소유자' }),
  permission: Type.Array(Type.Object({}, { additionalProperties: true }), {
    description: '모델 권한 정보 (없을 수 있음)',
    default: [],
  }),
  root: Type.String({ description: '루트 모델 ID' }),
  parent: Type.Optional(Type.String({ description: '부모 모델 ID (없을 수 있음)' })),
  context_window: Type.Optional(Type.Integer({ description: 'Tokens, where it is configured' })),
  max_output_tokens: Type.Optional(Type.Integer({ description: 'Tokens, where it is configured' })),
  prices: Type.Optional(
    Type.Object(
      { input: Type.Number(), cached_input: Type.Optional(Type.Number()), output: Type.Number() },
      { description: 'US dollars for a million tokens, where they are configured' },
    ),
  ),
})

export const getModelsSchema = {
  operationId: 'getModels',
  tags: ['models'],
  summary: '사용 가능한 OpenAI 모델 목록 조회',
  description:
    "The models of all upstreams, and the aliases. Each upstream's list is at most a minute old; one that has none, or fails, is left out.",
  response: {
    200: Type.Object(
      { data: Type.Array(Model), object: Type.String({ description: '응답 객체 타입', examples: ['list'] }) },
      { description: '성공적인 응답' },
    ),
    ...errorResponses(429, 502, 503, 504),
  },
}

export const getCurrentModelSchema = {
  operationId: 'getCurrentModel',
  tags: ['models'],
  summary: '현재 사용 중인 모델 조회',
  description: 'The model that the next message of this client goes to.',
  querystring: ClientQuery,
  response: {
    200: Type.Object(
      { model: Type.String({ description: '현재 사용 중인 모델 ID' }) },
      { description: '성공적인 응답' },
    ),
    ...errorResponses(400, 429, 502, 503, 504),
  },
}

export const setModelSchema = {
  operationId: 'setModel',
  tags: ['models'],
  summary: '사용할 모델 변경',
  description:
    'Chooses a model or alias of the list. Where the upstream has no list any name is taken. A message that is being answered keeps its model.',
  body: Type.Object(
    { model: Type.String({ description: '변경할 모델 ID' }), client_name: ClientName },
    { examples: [{ model: 'gpt-4.1-mini', client_name: 'minsu' }] },
  ),
  response: {
    200: Type.Object(
      { model: Type.String({ description: '변경된 모델 ID' }) },
      { description: '성공적인 응답' },
    ),
    ...errorResponses(400, 413, 415, 429, 502, 503, 504, 507),
  },
}
