import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Generation } from '../../src/conversation/settings.ts'
import { maxTokensFieldOf, requestBody } from '../../src/upstream/chat-request.ts'
import { readStream, readWhole } from '../../src/upstream/read-answer.ts'
import { refusal } from '../../src/upstream/upstream-errors.ts'
import { collectAnswer } from '../support/collect-answer.ts'

/**
 * What upstreams send, by their documents and by what their users report, in shapes/: `<upstream>[-<what>].sse` is a
 * stream, `.json` an answer in one piece, and `<upstream>-<status>[-<what>].json` a refusal.
 */
const folder = join(import.meta.dirname, 'shapes')
const settings: Generation = {
  temperature: 0.2,
  top_p: 0.9,
  max_output_tokens: 100,
  stop: ['.'],
  reasoning_effort: 'low',
}
const asked = { model: 'asked', settings }

type Answer = { readonly code: string } | Partial<Awaited<ReturnType<typeof collectAnswer>>>
/** The code of a refusal, and what its sentence has to name. */
interface Refusal {
  readonly code: string
  readonly named?: string
}

const usage = (input_tokens: number, output_tokens: number, total_tokens = input_tokens + output_tokens) => ({
  input_tokens,
  output_tokens,
  total_tokens,
})
const hello = { text: 'Hello!', incomplete: undefined }

const answers: Record<string, Answer> = {
  'azure.sse': { text: 'Hello World', reasoning: '', model: 'gpt-4o-2024-11-20', usage: usage(15, 5) },
  'azure-filtered.sse': { text: 'He', incomplete: 'content_filter', usage: usage(15, 5) },
  'deepseek.json': { text: '9.8', reasoning: '9.11 is the smaller.', usage: usage(13, 15) },
  'deepseek.sse': { text: '안녕하세요!', reasoning: '인사로군', usage: usage(88, 40) },
  'gemini.json': { text: 'Inception', model: 'gemini-2.5-flash', usage: usage(17, 2, 49) },
  'gemini.sse': { text: '1, 2, 3, 4, 5', model: 'gemini-2.5-flash', usage: usage(8, 13, 547) },
  'llama-cpp.sse': { ...hello, reasoning: 'It greets', usage: usage(17, 28) },
  'ollama.json': { ...hello, reasoning: '', model: 'llama3.2', usage: usage(26, 3) },
  'ollama.sse': { ...hello, reasoning: 'Okay, a greeting.', model: 'qwen3:8b', usage: usage(11, 9) },
  'openai.json': { text: 'Hello!', incomplete: 'max_output_tokens', usage: usage(7, 10) },
  'openai.sse': {
    text: '안녕하세요 😀',
    reasoning: '',
    model: 'gpt-4o-mini-2024-07-18',
    usage: usage(19, 5),
  },
  'openai-refusal.sse': { text: "I'm sorry, no.", incomplete: undefined, usage: usage(19, 5) },
  'openrouter.sse': { ...hello, reasoning: 'Okay, hi', model: 'z-ai/glm-4.5', usage: usage(35, 12) },
  'openrouter-error.json': { code: 'upstream_error' },
  'openrouter-error.sse': { code: 'upstream_error' },
  'vllm.json': { text: '안녕하세요! 반갑습니다. 😊', reasoning: '', model: 'qwen', usage: usage(14, 35) },
  'vllm.sse': { text: '\n\nHello!', reasoning: 'A greeting.', model: 'Qwen/Qwen3-8B', usage: usage(9, 12) },
  'vllm-error.sse': { code: 'upstream_error' },
}

const refusals: Record<string, Refusal> = {
  'azure-400-filtered.json': { code: 'upstream_error', named: 'content_filter' },
  'azure-404.json': { code: 'model_not_found', named: 'asked' },
  'deepseek-400-context.json': { code: 'context_length_exceeded', named: 'asked' },
  'deepseek-400-model.json': { code: 'model_not_found', named: 'asked' },
  'deepseek-402.json': { code: 'upstream_quota' },
  'gemini-400.json': { code: 'upstream_error' },
  'gemini-400-key.json': { code: 'upstream_auth' },
  'gemini-404.json': { code: 'model_not_found', named: 'asked' },
  'llama-cpp-400-context.json': { code: 'context_length_exceeded', named: 'asked' },
  'llama-cpp-503.json': { code: 'upstream_error' },
  'ollama-400-reasoning-effort.json': { code: 'invalid_request', named: "'reasoning_effort'" },
  'ollama-404.json': { code: 'model_not_found', named: 'asked' },
  'openai-400-context.json': { code: 'context_length_exceeded', named: 'asked' },
  'openai-400-max-tokens.json': { code: 'invalid_request', named: "'max_output_tokens'" },
  'openai-400-reasoning-effort.json': { code: 'invalid_request', named: "'reasoning_effort'" },
  'openai-400-temperature.json': { code: 'invalid_request', named: "'temperature'" },
  'openai-401.json': { code: 'upstream_auth' },
  'openai-404.json': { code: 'model_not_found', named: 'asked' },
  'openai-429-quota.json': { code: 'upstream_quota' },
  'openai-429-rate.json': { code: 'upstream_rate_limited' },
  'openrouter-400-model.json': { code: 'model_not_found', named: 'asked' },
  'openrouter-400-temperature.json': { code: 'invalid_request', named: "'temperature'" },
  'openrouter-402.json': { code: 'upstream_quota' },
  'openrouter-429.json': { code: 'upstream_rate_limited' },
  'vllm-400-context.json': { code: 'context_length_exceeded', named: 'asked' },
  'vllm-400-max-tokens.json': { code: 'invalid_request', named: "'max_output_tokens'" },
  'vllm-400-temperature.json': { code: 'invalid_request', named: "'temperature'" },
  'vllm-404.json': { code: 'model_not_found', named: 'asked' },
}

it('every shape has its row, and every row its shape', () => {
  expect(Object.keys({ ...answers, ...refusals }).toSorted()).toEqual(readdirSync(folder).toSorted())
})

describe('an answer in the shape of', () => {
  it.each(Object.entries(answers))(
    '%s is read right, wherever its bytes are split',
    async (file, expected) => {
      const bytes = readFileSync(join(folder, file))
      expect(await read(file, [bytes])).toMatchObject(expected)
      for (let at = 1; at < bytes.length; at++) {
        expect(await read(file, [bytes.subarray(0, at), bytes.subarray(at)])).toMatchObject(expected)
      }
      expect(
        await read(
          file,
          Array.from(bytes, (byte) => Uint8Array.of(byte)),
        ),
      ).toMatchObject(expected)
    },
  )
})

describe('a refusal in the shape of', () => {
  it.each(Object.entries(refusals))(
    '%s is told by its code, and in our words alone',
    (file, { code, named = '' }) => {
      const body: unknown = JSON.parse(readFileSync(join(folder, file), 'utf8'))
      const { message, ...error } = refusal(Number(/-(\d{3})\b/.exec(file)?.[1]), body, undefined, asked)
      expect(error).toMatchObject({ code })
      expect(message).toContain(named)
      expect(message).not.toContain('secret')
    },
  )
})

describe('a request', () => {
  const everywhere = ['model', 'messages', 'stream', 'stream_options', 'temperature', 'top_p', 'stop']

  it.each([
    ['https://api.openai.com/v1', ['max_completion_tokens', 'max_tokens', 'reasoning_effort']],
    ['https://mine.openai.azure.com/openai/v1', ['max_completion_tokens', 'max_tokens', 'reasoning_effort']],
    ['http://localhost:11434/v1', ['max_tokens', 'reasoning_effort']], // Ollama ignores max_completion_tokens
    ['http://localhost:8000/v1', ['max_tokens', 'max_completion_tokens', 'reasoning_effort']],
    ['https://openrouter.ai/api/v1', ['max_tokens', 'max_completion_tokens', 'reasoning_effort']],
    ['https://api.deepseek.com', ['max_tokens', 'reasoning_effort']],
    [
      'https://generativelanguage.googleapis.com/v1beta/openai',
      ['max_tokens', 'max_completion_tokens', 'reasoning_effort'],
    ],
  ])('to %s holds what it documents, and nothing else', (baseUrl, documented) => {
    const body = JSON.parse(`${requestBody({ ...asked, messages: [] }, maxTokensFieldOf(baseUrl))}`)
    expect([...everywhere, ...documented]).toEqual(expect.arrayContaining(Object.keys(body)))
    expect(Object.keys(body)).toHaveLength(everywhere.length + 2)
  })
})

async function read(file: string, chunks: readonly Uint8Array[]) {
  const bytes = (async function* () {
    yield* chunks
  })()
  const read = file.endsWith('.sse') ? readStream : readWhole
  return collectAnswer((hear) => read(bytes, asked, hear)).catch((error: unknown) => error)
}
