import { type TSchema, Type } from 'typebox'

/** In full it is checked by the domain. */
const name = (description: string) => Type.String({ description })

/** Settings that hold for one turn, or for a client until they are changed. */
export const turnSettings = {
  model: name('A model or an alias of GET /models'),
  instructions: Type.String({ minLength: 1, description: 'What the model is told before everything else' }),
  temperature: Type.Number({ minimum: 0, maximum: 2 }),
  top_p: Type.Number({ minimum: 0, maximum: 1 }),
  max_output_tokens: Type.Integer({
    minimum: 1,
    maximum: 10_000_000,
    description: 'How long an answer may be; the window keeps so much free for it',
  }),
  stop: Type.Array(Type.String({ minLength: 1, maxLength: 256 }), {
    minItems: 1,
    maxItems: 4,
    description: 'Texts before which an answer ends',
  }),
  reasoning_effort: Type.Enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh'], { type: 'string' }),
  fallback: Type.Array(name('A model or an alias'), {
    maxItems: 8,
    description: 'Models that are asked, in this order, when the first one fails before it answers',
  }),
}

/** Notes with such values. (TypeBox leaves out what it is told of the keys of a record, and keys with a line break.) */
export function metadataOf<T extends TSchema>(value: T) {
  return Type.Record(Type.String(), value, {
    additionalProperties: value,
    propertyNames: { minLength: 1, maxLength: 64 },
    description: 'Notes of your own, 16 at most; they are never sent to a model',
  })
}

/** Settings that make sense for a client alone. */
export const clientSettings = {
  ...turnSettings,
  compaction: Type.Enum(['auto', 'off'], {
    type: 'string',
    description:
      'Whether older turns are summarised when the window fills; without it they are left out (default auto)',
  }),
  compact_at: Type.Number({
    minimum: 0.1,
    maximum: 0.95,
    description: 'How full the window may get before that: a fraction of it (default 0.8)',
  }),
  summary_model: name('The model that summarises; without it the one that answers'),
  retention_days: Type.Integer({
    minimum: 1,
    maximum: 36_500,
    description: 'After how many days without a message or a change the client is erased',
  }),
  metadata: metadataOf(Type.String({ maxLength: 512 })),
}
