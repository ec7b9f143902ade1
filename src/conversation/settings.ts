/** What a model is told about how to answer. Names and ranges are those of OpenAI's API. */
export interface Generation {
  readonly temperature?: number | undefined
  readonly top_p?: number | undefined
  readonly max_output_tokens?: number | undefined
  readonly stop?: readonly string[] | undefined
  readonly reasoning_effort?: string | undefined
}

/** The names of the settings that go upstream. */
export const generationSettings = [
  'temperature',
  'top_p',
  'max_output_tokens',
  'stop',
  'reasoning_effort',
] as const satisfies readonly (keyof Generation)[]
