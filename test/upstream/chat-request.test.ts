import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { describe, expect, it, onTestFinished } from 'vitest'
import { generationSettings } from '../../src/conversation/settings.ts'
import { maxTokensFieldOf, requestBody as requestBytes } from '../../src/upstream/chat-request.ts'
import { OpenAiUpstream } from '../../src/upstream/openai-upstream.ts'
import { collectAnswer } from '../support/collect-answer.ts'
import { measured } from '../support/measured.ts'

const requestBody = (...asked: Parameters<typeof requestBytes>) => requestBytes(...asked).toString()

const told = { name: 'default', observer: measured() }

const messages = ['{"role":"system","content":"brief"}', '{"role":"user","content":"안녕"}']
const settings = {
  reasoning_effort: 'low',
  stop: ['\n\n', '끝'],
  max_output_tokens: 100,
  top_p: 0.9,
  temperature: 0,
} as const
const ask = { model: 'm"1', messages }
const prefix =
  '{"model":"m\\"1","messages":[{"role":"system","content":"brief"},{"role":"user","content":"안녕"}],' +
  '"stream":true,"stream_options":{"include_usage":true}'

describe('the body of a request', () => {
  it('begins with the same bytes, whatever the settings', () => {
    expect(requestBody(ask, 'max_tokens')).toBe(`${prefix}}`)
    for (const name of generationSettings) {
      const body = requestBody({ ...ask, settings: { [name]: settings[name] } }, 'max_tokens')
      expect(body.startsWith(`${prefix},"`)).toBe(true)
    }
  })

  it('holds the settings in one order, in whichever they were set, and only those that were', () => {
    const wanted = `${prefix},"temperature":0,"top_p":0.9,"max_tokens":100,"stop":["\\n\\n","끝"],"reasoning_effort":"low"}`
    const turned = Object.fromEntries(Object.entries(settings).toReversed())
    expect(requestBody({ ...ask, settings }, 'max_tokens')).toBe(wanted)
    expect(requestBody({ ...ask, settings: turned }, 'max_tokens')).toBe(wanted)
    const some = { temperature: undefined, top_p: 0.5 }
    expect(requestBody({ ...ask, settings: some }, 'max_tokens')).toBe(`${prefix},"top_p":0.5}`)
    expect(requestBody({ ...ask, settings: {} }, 'max_tokens')).toBe(`${prefix}}`)
  })

  it('calls the limit of the answer what the upstream calls it', () => {
    const limited = { ...ask, settings: { max_output_tokens: 7 } }
    expect(requestBody(limited, 'max_tokens')).toBe(`${prefix},"max_tokens":7}`)
    expect(requestBody(limited, 'max_completion_tokens')).toBe(`${prefix},"max_completion_tokens":7}`)
  })
})

it.each([
  ['https://api.openai.com/v1', 'max_completion_tokens'],
  ['https://eu.api.openai.com/v1', 'max_completion_tokens'],
  ['https://API.OPENAI.COM:443/v1', 'max_completion_tokens'],
  ['https://mine.openai.azure.com/openai/v1', 'max_completion_tokens'],
  ['https://mine.services.ai.azure.com/openai/v1', 'max_completion_tokens'],
  ['https://mine.cognitiveservices.azure.com/openai/v1', 'max_completion_tokens'],
  ['https://notopenai.com/v1', 'max_tokens'],
  ['https://api.openai.com.example.org/v1', 'max_tokens'],
  ['https://example.org/api.openai.com', 'max_tokens'],
  ['https://openrouter.ai/api/v1', 'max_tokens'],
  ['https://api.deepseek.com', 'max_tokens'],
  ['https://generativelanguage.googleapis.com/v1beta/openai', 'max_tokens'],
  ['http://127.0.0.1:11434/v1', 'max_tokens'],
  ['http://[::1]:8000/v1', 'max_tokens'],
  ['not a url', 'max_tokens'],
])('an upstream at %s is told of the limit as %s', (baseUrl, field) => {
  expect(maxTokensFieldOf(baseUrl)).toBe(field)
})

it.each([
  [undefined, 'max_tokens'],
  ['max_completion_tokens', 'max_completion_tokens'],
] as const)('the upstream is sent the body, with the option %s as %s', async (maxTokensField, field) => {
  const bodies: string[] = []
  const server = createServer(async (request, reply) => {
    bodies.push(await text(request))
    reply.end('{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}]}')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const upstream = new OpenAiUpstream({
    ...told,
    baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    apiKey: undefined,
    limits: { connect: 1_000, firstToken: 1_000, idle: 1_000 },
    maxTokensField,
  })
  onTestFinished(async () => {
    await upstream[Symbol.asyncDispose]()
    server.close()
  })
  const limited = { ...ask, settings: { max_output_tokens: 7 } }
  await collectAnswer((hear) => upstream.answer(limited, hear, new AbortController().signal))
  expect(bodies).toEqual([`${prefix},"${field}":7}`])
})
