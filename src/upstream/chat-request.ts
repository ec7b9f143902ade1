import type { ModelRequest } from '../conversation/ports.ts'
import { generationSettings } from '../conversation/settings.ts'

/** What an upstream calls the limit of an answer: OpenAI's newer models refuse the old name, others may know no other. */
export type MaxTokensField = 'max_tokens' | 'max_completion_tokens'

/**
 * The body of a chat completion request. The stored messages are copied, not parsed, and what may change from turn to
 * turn comes behind them: an upstream that caches prompts sees the same bytes first.
 */
export function requestBody(
  { model, messages, settings = {} }: ModelRequest,
  maxTokensField: MaxTokensField,
): Buffer {
  const parts: (string | Uint8Array)[] = []
  let text = `{"model":${JSON.stringify(model)},"messages":[`
  for (const [n, message] of messages.entries()) {
    if (n > 0) text += ','
    if (typeof message === 'string') text += message
    else {
      parts.push(text, message)
      text = ''
    }
  }
  text += '],"stream":true,"stream_options":{"include_usage":true}'
  for (const name of generationSettings) {
    const field = name === 'max_output_tokens' ? maxTokensField : name
    if (settings[name] !== undefined) text += `,"${field}":${JSON.stringify(settings[name])}`
  }
  parts.push(`${text}}`)
  return bytesOf(parts)
}

function bytesOf(parts: readonly (string | Uint8Array)[]): Buffer {
  const bytes = Buffer.allocUnsafe(parts.reduce((sum, part) => sum + Buffer.byteLength(part), 0))
  let end = 0
  for (const part of parts) {
    if (typeof part === 'string') end += bytes.write(part, end)
    else {
      bytes.set(part, end)
      end += part.length
    }
  }
  return bytes
}

const takeMaxCompletionTokens =
  /(^|\.)(openai\.com|openai\.azure\.com|services\.ai\.azure\.com|cognitiveservices\.azure\.com)$/

/** OpenAI's own addresses and Azure's take the new name for every model; elsewhere the old one is understood. */
export function maxTokensFieldOf(baseUrl: string): MaxTokensField {
  const host = URL.parse(baseUrl)?.hostname ?? ''
  return takeMaxCompletionTokens.test(host) ? 'max_completion_tokens' : 'max_tokens'
}
