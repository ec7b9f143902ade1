import { Type } from 'typebox'
import { groups } from '../../conversation/usage.ts'
import { errorResponses } from './errors.ts'

const day = (description: string) => Type.String({ description, examples: ['2026-01-31'] })

const fields = {
  from: Type.Optional(day('The first day, in UTC; without it the first of this month')),
  to: Type.Optional(day('The last day; without it today')),
  client_name: Type.Optional(Type.String({ description: 'Only of this client' })),
  by: Type.Optional(
    Type.String({
      description: `What the sums are of, with commas between: some of ${groups.join(', ')}. Of each model always`,
      examples: ['day,client_name'],
    }),
  ),
}

const Row = Type.Object({
  day: Type.Optional(Type.String()),
  tenant: Type.Optional(Type.String()),
  client_name: Type.Optional(Type.String()),
  key: Type.Optional(
    Type.Union([Type.String(), Type.Null()], { description: "null: the operator's, and summaries" }),
  ),
  model: Type.String(),
  turns: Type.Integer(),
  estimated_turns: Type.Integer({
    description: 'Turns that were counted here, since the upstream did not say: cancelled ones, for example',
  }),
  input_tokens: Type.Integer(),
  output_tokens: Type.Integer(),
  cost: Type.Optional(Type.Number({ description: 'US dollars, where the model has prices now' })),
})

const response = {
  200: Type.Object(
    { from: Type.String(), to: Type.String(), usage: Type.Array(Row) },
    { description: 'Sums of what turns have used' },
  ),
  ...errorResponses(400, 403, 503),
}

export const usageSchema = {
  operationId: 'getUsage',
  tags: ['clients'],
  summary: 'Read what was used',
  description: 'Tokens of your clients, summed up, and what they cost. A key of one client sees that client.',
  querystring: Type.Object(fields),
  response,
}

export const adminUsageSchema = {
  ...usageSchema,
  operationId: 'getUsageOfAll',
  tags: ['operations'],
  summary: 'Read what every tenant used',
  description: 'For the operator alone.',
  querystring: Type.Object({
    ...fields,
    tenant: Type.Optional(Type.String({ description: 'Only of this tenant' })),
  }),
}
