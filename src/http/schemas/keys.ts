import { Type } from 'typebox'
import { errorResponses } from './errors.ts'

const time = (description: string) =>
  Type.Union([Type.String({ format: 'date-time' }), Type.Null()], { description })

const limit = (description: string) =>
  Type.Optional(Type.Union([Type.Integer({ minimum: 1, maximum: 1e15 }), Type.Null()], { description }))

const limits = {
  requests_per_minute: limit('Requests of any kind'),
  turns_at_once: limit('Messages that are answered or wait'),
  tokens_per_day: limit('Sent and answered, in a day of UTC'),
  tokens_per_month: limit('The same in a month of UTC'),
  client_tokens_per_day: limit('The same in a day, for each of its clients'),
}

const fields = {
  id: Type.String(),
  tenant: Type.String(),
  client_name: Type.Union([Type.String(), Type.Null()], {
    description: 'The only client that it may touch; null: all of its tenant',
  }),
  begins_with: Type.String({ description: 'The first letters of the key itself, to know it by' }),
  created_at: Type.String({ format: 'date-time' }),
  expires_at: time('null: never'),
  revoked_at: time('null: not'),
  limits: Type.Object(limits, { description: 'What it may use; what is missing is not limited' }),
}

const Key = Type.Object(fields, { description: 'The key, without its secret' })

export const createKeySchema = {
  operationId: 'createKey',
  tags: ['operations'],
  summary: 'Make a key for a tenant',
  description: 'The key itself is in this answer, and can never be read again. For the operator alone.',
  body: Type.Object(
    {
      tenant: Type.String({
        description: 'Small letters, digits, dots, hyphens; it need not be there before',
      }),
      client_name: Type.Optional(Type.String({ description: 'The only client that it is to touch' })),
      expires_at: Type.Optional(Type.String({ description: 'A time to come, as in RFC 3339' })),
      ...limits,
    },
    { additionalProperties: false, examples: [{ tenant: 'acme', expires_at: '2030-01-31T12:00:00Z' }] },
  ),
  response: {
    201: Type.Object(
      { ...fields, key: Type.String({ description: 'What callers send' }) },
      { description: 'The key' },
    ),
    ...errorResponses(400, 403, 503, 507),
  },
}

export const listKeysSchema = {
  operationId: 'listKeys',
  tags: ['operations'],
  summary: 'List the keys, the newest first',
  description: 'Those that are revoked or have expired, too. For the operator alone.',
  querystring: Type.Object({
    tenant: Type.Optional(Type.String({ description: 'Only those of this tenant' })),
  }),
  response: {
    200: Type.Object({ keys: Type.Array(Key) }, { description: 'The keys' }),
    ...errorResponses(400, 403, 503),
  },
}

export const limitKeySchema = {
  operationId: 'limitKey',
  tags: ['operations'],
  summary: 'Change what a key may use',
  description:
    'A number sets a limit, null takes it away, and what is left out stays. For the operator alone.',
  params: Type.Object({ id: Type.String({ description: 'The id of the key, not the key itself' }) }),
  body: Type.Object(limits, { additionalProperties: false, examples: [{ tokens_per_day: 100_000 }] }),
  response: { 200: Key, ...errorResponses(400, 403, 404, 503, 507) },
}

export const revokeKeySchema = {
  operationId: 'revokeKey',
  tags: ['operations'],
  summary: 'Take a key back',
  description:
    'Nobody gets in with it any more, and what is open with it is closed within 5 seconds. For the operator alone.',
  params: Type.Object({ id: Type.String({ description: 'The id of the key, not the key itself' }) }),
  response: { 200: Key, ...errorResponses(400, 403, 404, 503) },
}
