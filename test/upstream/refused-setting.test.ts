import { describe, expect, it, onTestFinished } from 'vitest'
import type { Generation } from '../../src/conversation/settings.ts'
import { OpenAiUpstream } from '../../src/upstream/openai-upstream.ts'
import { RetryingUpstream } from '../../src/upstream/retrying-upstream.ts'
import { refusal } from '../../src/upstream/upstream-errors.ts'
import { collectAnswer } from '../support/collect-answer.ts'
import { measured } from '../support/measured.ts'
import { startTranscriptUpstream } from '../support/transcript-upstream.ts'

const told = { name: 'default', observer: measured() }

const all: Generation = {
  temperature: 2,
  top_p: 0.1,
  max_output_tokens: 9_000,
  stop: ['.'],
  reasoning_effort: 'low',
}
const refused = (body: unknown, settings: Generation = all, status = 400) =>
  refusal(status, body, undefined, { model: 'o3-mini', settings })
const openAi = (message: string, param: string | null = null, code: string | null = null) => ({
  error: { message, type: 'invalid_request_error', param, code },
})

describe('a refused setting', () => {
  it.each([
    ['temperature', openAi('secret', 'temperature', 'unsupported_value')],
    ['temperature', openAi("Unsupported value: 'temperature' does not support 2 with this model.")],
    ['top_p', openAi('secret', 'top_p', 'unsupported_parameter')],
    ['top_p', openAi('`temperature` is fine, secret', 'top_p')],
    ['max_output_tokens', openAi('secret', 'max_tokens', 'unsupported_parameter')],
    ['max_output_tokens', openAi('max_tokens is too large: 9000.', 'max_completion_tokens', 'invalid_value')],
    ['max_output_tokens', openAi('it has a maxOutputTokens value of 9000 but the supported range is')],
    ['stop', openAi('secret', 'stop[0]', 'string_above_max')],
    ['stop', openAi('stop cannot contain an empty string.')],
    ['stop', openAi("Argument not supported on this model: 'stop'")],
    ['reasoning_effort', openAi('Unrecognized request argument supplied: reasoning_effort')],
    ['reasoning_effort', openAi('"gemma3" does not support thinking')],
    ['temperature', { message: 'temperature must be non-negative, got -1.', object: 'error', code: 400 }],
    ['top_p', { detail: [{ type: 'x', loc: ['body', 'top_p'], msg: 'secret', input: { temperature: 2 } }] }],
    ['temperature', { detail: 'Invalid params: temperature must be in range' }],
    ['temperature', { error: 'temperature is not taken' }],
    [
      'temperature',
      {
        error: {
          message: 'Provider returned error',
          code: 400,
          metadata: { raw: "Unsupported 'temperature'" },
        },
      },
    ],
  ])('is named as we name it: %s of %j', (name, body) => {
    for (const status of [400, 422]) {
      const error = refused(body, all, status)
      expect(error).toMatchObject({ code: 'invalid_request', retryAfter: undefined })
      expect(error.message).toBe(
        `The upstream does not take this '${name}' for 'o3-mini'. Leave it out, or send another value.`,
      )
    }
  })

  it.each([
    ['it was not sent', openAi('secret', 'temperature', 'unsupported_value'), { top_p: 1 }, 400],
    ['nothing was sent', openAi('secret', 'temperature', 'unsupported_value'), {}, 400],
    ['another field is at fault', openAi("'temperature' in quotes", 'messages[0].content'), all, 400],
    ['another filter is at fault', openAi('stop asking for the tops', 'prompt', 'content_filter'), all, 400],
    ['the word means something else', openAi('we had to stop the request here'), all, 400],
    [
      'a prompt is quoted',
      { detail: [{ loc: ['body', 'messages'], msg: 'bad', input: "'temperature', and a context length" }] },
      all,
      422,
    ],
    ['the upstream failed', openAi('temperature sensor is broken', 'temperature'), all, 500],
  ])('is not blamed when %s', (_, body, settings, status) => {
    expect(refused(body, settings, status).code).toBe('upstream_error')
  })

  it('is found in a moment, however much the upstream says', () => {
    const begin = performance.now()
    expect(refused(openAi('tokens '.repeat(9_000))).code).toBe('upstream_error')
    expect(performance.now() - begin).toBeLessThan(200)
  })

  it.each([
    [
      'context_length_exceeded',
      "'max_tokens' or 'max_completion_tokens' is too large: 9000. This model's maximum context length is 16384 tokens and your request has 8000 input tokens (9000 > 16384 - 8000).",
      'max_tokens',
    ],
    [
      'context_length_exceeded',
      "This model's maximum context length is 16384 tokens. However, you requested 17000 tokens (8000 in the messages, 9000 in the completion).",
      null,
    ],
    [
      'invalid_request',
      "'max_tokens' or 'max_completion_tokens' is too large: 9000. This model's maximum context length is 8192 tokens and your request has 80 input tokens (9000 > 8192 - 80).",
      'max_tokens',
    ],
    [
      'invalid_request',
      "This model's maximum context length is 8192 tokens. However, you requested 9080 tokens (80 in the messages, 9000 in the completion).",
      null,
    ],
  ])('of the length is %s when the sentence is: %s', (code, message, param) => {
    expect(refused(openAi(message, param)).code).toBe(code)
  })
})

it('is neither tried again nor held against the upstream', async () => {
  const other = await startTranscriptUpstream()
  const limits = { connect: 1_000, firstToken: 2_000, idle: 2_000 }
  const inner = new OpenAiUpstream({ ...told, baseUrl: other.baseUrl, apiKey: undefined, limits })
  const upstream = new RetryingUpstream(inner, told)
  onTestFinished(() => inner[Symbol.asyncDispose]())
  const ask = { model: 'm', messages: ['{"role":"user","content":"hi"}'], settings: { temperature: 2 } }
  const answer = () => collectAnswer((hear) => upstream.answer(ask, hear, new AbortController().signal))
  const body = JSON.stringify(openAi('secret', 'temperature', 'unsupported_value'))
  other.faults.push(...Array(60).fill({ status: 400, body }))
  for (let n = 0; n < 60; n++) {
    await expect(answer()).rejects.toMatchObject({ code: 'invalid_request' })
  }
  expect(other.journal).toHaveLength(60)
  expect(await answer()).toMatchObject({ incomplete: undefined })
})
