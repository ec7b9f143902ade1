import type { ModelRequest } from '../conversation/ports.ts'
import { generationSettings } from '../conversation/settings.ts'

/** What an upstream calls the limit of an answer: OpenAI's newer models refuse the old name, others may know no other. */
export type MaxTokensField = 'max_tokens' | 'max_completion_tokens'

/**
 * The body of a chat completion request. The stored messages are joined, not parsed, and what may change from turn to
 * turn comes behind them: an upstream that caches prompts sees the same bytes first.
 */
export function requestBody(
  { model, messages, settings = {} }: ModelRequest,
  maxTokensField: MaxTokensField,
): string {
  const fields = [
    `"model":${JSON.stringify(model)}`,
    `"messages":[${messages.join(',')}]`,
    '"stream":true',
    '"stream_options":{"include_usage":true}',
  ]
  for (const name of generationSettings) {
    const field = name === 'max_output_tokens' ? maxTokensField : name
    if (settings[name] !== undefined) fields.push(`"${field}":${JSON.stringify(settings[name])}`)
  }
  return `{${fields.join(',')}}`
}

const takeMaxCompletionTokens =
  /(^|\.)(openai\.com|openai\.azure\.com|services\.ai\.azure\.com|cognitiveservices\.azure\.com)$/

/** OpenAI's own addresses and Azure's take the new name for every model; elsewhere the old one is understood. */
export function maxTokensFieldOf(baseUrl: string): MaxTokensField {
  const host = URL.parse(baseUrl)?.hostname ?? ''
  return takeMaxCompletionTokens.test(host) ? 'max_completion_tokens' : 'max_tokens'
}
