import { DaehwaError, invalid } from '../conversation/errors.ts'
import { record, string } from './chat-completion.ts'
import { type Asked, fillsWindow, refusedSetting, sentenceOf } from './refused-setting.ts'

/**
 * What an upstream's refusal means here. `body` is read for its machine words (OpenAI's "Error codes"), and its
 * sentences are searched for what vLLM, llama.cpp and others have no such word for. They are never repeated, since
 * they may quote a key or a prompt.
 */
export function refusal(
  status: number,
  body: unknown,
  retryAfter: string | undefined,
  { model, settings }: Asked,
): DaehwaError {
  const inner = record(Array.isArray(body) ? body[0] : body) // Gemini wraps its error into a list
  const error = record(inner['error'] ?? inner)
  const words = [error['code'], error['type']].filter((word) => typeof word === 'string').join(' ')
  const sentence = sentenceOf(inner)
  const isKey = status === 400 && /API key not (valid|found)/i.test(sentence) // Gemini's
  if (status === 401 || status === 403 || isKey) return DaehwaError.of('upstream_auth')
  if (status === 402 || /insufficient_quota|billing/.test(words)) return DaehwaError.of('upstream_quota')
  if (status === 429) return DaehwaError.of('upstream_rate_limited').after(seconds(retryAfter))
  if (status === 408 || status === 504) {
    return DaehwaError.of('upstream_timeout', { detail: `it answered with status ${status}` })
  }
  const ofRequest = status === 400 || status === 422
  if (ofRequest && fillsWindow(sentence, settings)) return notTaken('max_output_tokens', model)
  if (status === 413 || (status < 500 && isTooLong(words, sentence))) {
    return DaehwaError.of('context_length_exceeded', { model })
  }
  const setting = ofRequest ? refusedSetting(error, sentence, settings) : undefined
  if (setting !== undefined) return notTaken(setting, model)
  if (isNoModel(status, `${words} ${sentence}`)) {
    return DaehwaError.of('model_not_found', { model })
  }
  if (status >= 300 && status < 400) {
    return DaehwaError.of('upstream_bad_response', {
      detail: `a redirect (${status}), which is not followed`,
    })
  }
  if (status === 404) {
    const detail = 'it answered with status 404, so its base URL may be wrong: that usually ends in /v1'
    return DaehwaError.of('upstream_error', { detail })
  }
  const word = /^[a-z]+(_[a-z]+)+$/.exec(string(error['code']) ?? '')?.[0] // a name of an error, and no key
  const failed = DaehwaError.of('upstream_error', {
    detail: `it answered with status ${status}${word ? ` (${word})` : ''}`,
  })
  return status >= 500 ? failed.after(1) : failed.asRefusal() // what is refused as it is would be refused again
}

/** The error that an upstream put into a stream that had begun with status 200. */
export function errorInStream(value: unknown, asked: Asked): DaehwaError {
  const error = record(value)
  const status = Number(error['code'] ?? error['status'])
  if (status >= 400 && status < 600) return refusal(status, { error }, undefined, asked)
  const words = `${string(error['code']) ?? ''} ${string(error['type']) ?? ''}`
  if (isTooLong(words, sentenceOf(error)))
    return DaehwaError.of('context_length_exceeded', { model: asked.model })
  if (/insufficient_quota|billing/.test(words)) return DaehwaError.of('upstream_quota')
  if (/rate_limit/.test(words)) return DaehwaError.of('upstream_rate_limited').after(1)
  return DaehwaError.of('upstream_error', { detail: 'it reported an error while answering' })
}

/** What a failure below HTTP means; undefined for one that did not come from the network. */
export function networkError(error: unknown): DaehwaError | undefined {
  const code = string(record(error)['code']) ?? string(record(record(error)['cause'])['code'])
  if (record(error)['name'] === 'HTTPParserError') return notHttp()
  if (code === undefined) return undefined
  if (code === 'UND_ERR_CONNECT_TIMEOUT' || code === 'ETIMEDOUT') {
    return DaehwaError.of('upstream_timeout', { detail: 'no connection within the time for it' })
  }
  if (code === 'UND_ERR_SOCKET' || code === 'ECONNRESET' || code === 'EPIPE' || code === 'UND_ERR_ABORTED') {
    return DaehwaError.of('upstream_bad_response', { detail: 'the connection broke off' }).after(1)
  }
  if (code.startsWith('HPE_') || code.startsWith('UND_ERR_')) {
    return notHttp()
  }
  if (/^[A-Z0-9_]+$/.test(code)) return DaehwaError.of('upstream_unavailable', { detail: code }).after(1)
  return undefined
}

const notTaken = (setting: string, model: string): DaehwaError =>
  invalid(`The upstream does not take this '${setting}' for '${model}'. Leave it out, or send another value.`)

const notHttp = () => DaehwaError.of('upstream_bad_response', { detail: 'it is not HTTP as expected' })

function isTooLong(words: string, message: string): boolean {
  return (
    /context_length_exceeded|exceed_context_size|string_above_max_length/.test(words) ||
    /context (length|window|size)|maximum (context|prompt)|prompt is too long|too many (input )?tokens/i.test(
      message,
    ) ||
    /(token count|tokens?`?) .*(exceeds|must be <=)/i.test(message)
  )
}

/** Azure calls a model a deployment; OpenRouter and DeepSeek answer 400 for one that they do not have. */
function isNoModel(status: number, said: string): boolean {
  if (status === 404) return /model|deployment/i.test(said)
  return status === 400 && /not a valid model|model not exist/i.test(said)
}

const maxRetryAfter = 86_400

/** `Retry-After` in seconds, a day at most, from seconds or an HTTP date (RFC 9110, 10.2.3); 1 where there is none. */
function seconds(retryAfter: string | undefined): number {
  const value = retryAfter ?? ''
  const number = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - Date.now()) / 1000
  return Number.isFinite(number) ? Math.min(number, maxRetryAfter) : 1
}
