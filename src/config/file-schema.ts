import { type Static, Type } from 'typebox'

// `patternErrorMessage` and `errorMessage`, which editors show too, finish the sentence that a path begins.

const strict = { additionalProperties: false } as const

const maxTime = 2 ** 31 - 1
const Milliseconds = (description: string) =>
  Type.Optional(Type.Integer({ minimum: 1, maximum: maxTime, description }))
const Tokens = (description: string) =>
  Type.Optional(Type.Integer({ minimum: 256, maximum: 100_000_000, description }))
const Dollars = (description: string) => Type.Number({ minimum: 0, description })

/** RFC 9110, 5.6.2. */
const headerName = {
  pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$",
  patternErrorMessage: 'must be the name of a header, as x-title',
}
const HeaderValue = Type.String({
  pattern: '^[\\x20-\\x7e]*$',
  patternErrorMessage: 'must be plain ASCII, as headers are',
})

const ModelName = (description: string) =>
  Type.String({
    pattern: '^\\S(.{0,254}\\S)?$',
    patternErrorMessage: 'must be the name of a model, of 1 to 256 characters',
    description,
  })

const Model = Type.Object(
  {
    window: Tokens(
      'Context window in tokens. Left out: as it is known of models of that name, or else DAEHWA_CONTEXT_WINDOW.',
    ),
    max_output_tokens: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 100_000_000, description: 'The longest answer, in tokens.' }),
    ),
    settings: Type.Optional(
      Type.Array(Type.Enum(['temperature', 'top_p', 'max_output_tokens', 'stop', 'reasoning_effort']), {
        uniqueItems: true,
        description: 'The generation settings that it takes; others are not sent to it. Left out: all.',
      }),
    ),
    prices: Type.Optional(
      Type.Object(
        {
          input: Dollars('What is sent.'),
          cached_input: Type.Optional(Dollars('What is sent and was remembered. Left out: as input.')),
          output: Dollars('What is answered.'),
        },
        { ...strict, description: 'US dollars for a million tokens.' },
      ),
    ),
  },
  strict,
)

const Upstream = Type.Object(
  {
    base_url: Type.String({
      description: 'Where /chat/completions and /models are, as https://api.openai.com/v1.',
    }),
    api_key_env: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z_][A-Za-z0-9_]*$',
        patternErrorMessage:
          'must be the name of an environment variable, as OPENAI_API_KEY. The key itself does not go into the file',
        description: 'The environment variable that holds the key. Left out: no key is sent.',
      }),
    ),
    api_key_header: Type.Optional(
      Type.String({
        ...headerName,
        description: 'The header that bears the bare key. Left out: "Authorization: Bearer <key>".',
      }),
    ),
    headers: Type.Optional(
      Type.Record(Type.String(), HeaderValue, {
        propertyNames: headerName,
        description: 'Headers of every request; no keys.',
      }),
    ),
    query: Type.Optional(
      Type.Record(Type.String(), Type.String(), {
        description: 'What follows the "?" of every address, as {"api-version": "2024-10-21"}; no keys.',
      }),
    ),
    max_tokens_field: Type.Optional(
      Type.Enum(['max_tokens', 'max_completion_tokens'], {
        description: 'What this API calls the longest answer. Left out: as its models usually have it.',
      }),
    ),
    timeouts: Type.Optional(
      Type.Object(
        {
          connect_ms: Milliseconds('For the connection.'),
          first_token_ms: Milliseconds('From the request to the first piece of the answer.'),
          idle_ms: Milliseconds('Between two pieces.'),
        },
        { ...strict, description: 'Left out: those of the environment.' },
      ),
    ),
    models: Type.Optional(
      Type.Record(Type.String(), Model, {
        propertyNames: ModelName('As this upstream calls it.'),
        description: 'What is to be known of its models; they are listed also where it has no list.',
      }),
    ),
  },
  { ...strict, description: "An API that speaks OpenAI's Chat Completions." },
)

const Choice = ModelName('A model as "upstream/model".')

/** `daehwa.config.json`. */
export const ConfigFileSchema = Type.Object(
  {
    $schema: Type.Optional(Type.String({ description: 'For editors: "./daehwa.config.schema.json".' })),
    upstreams: Type.Optional(
      Type.Record(Type.String(), Upstream, {
        propertyNames: {
          pattern: '^[a-z0-9][a-z0-9_-]{0,31}$',
          patternErrorMessage:
            'must be a name of 1 to 32 of the characters a-z, 0-9, _ and -, beginning with a letter or digit',
        },
        minProperties: 1,
        description: 'Who answers, by name. A model without an upstream before it is one of the first.',
      }),
    ),
    aliases: Type.Optional(
      Type.Record(
        Type.String(),
        Type.Union([Choice, Type.Array(Choice, { minItems: 1, uniqueItems: true })], {
          errorMessage: 'must be "upstream/model", or a list of such',
        }),
        {
          propertyNames: {
            pattern: '^[^\\s/]{1,64}$',
            patternErrorMessage: 'must be a name of 1 to 64 characters without a space and without a slash',
          },
          description: 'Names of your own for models; of a list the first that answers.',
        },
      ),
    ),
    default_model: Type.Optional(ModelName('The model or alias of clients that have chosen none.')),
    summary_model: Type.Optional(
      ModelName('The model or alias that summarises long conversations. Left out: that of the conversation.'),
    ),
  },
  {
    ...strict,
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'daehwa.config.json',
    description: 'The upstreams of a Daehwa server, and the names of models.',
  },
)

export type ConfigFile = Static<typeof ConfigFileSchema>
export type UpstreamEntry = Static<typeof Upstream>
export type ModelEntry = Static<typeof Model>
