import type { IncompleteReason, Usage } from '../conversation/conversation.ts'
import { DaehwaError } from '../conversation/errors.ts'
import type { Finish } from '../conversation/ports.ts'
import { cleanText } from '../conversation/text.ts'

const maxModelName = 256
/** More tokens than any answer takes: an upstream that says so has not counted. */
const maxTokens = 1_000_000_000

/** What this server reads of a chat completion or a chunk of one; anything may be absent. */
export interface ChatObject {
  readonly model?: unknown
  readonly choices?: unknown
  readonly usage?: unknown
  readonly error?: unknown
}

/** What one chat object adds to an answer. */
export interface Addition {
  readonly reasoning: string
  readonly text: string
  readonly finishReason: string | undefined
  readonly usage: Usage | undefined
  readonly model: string | undefined
  /** What went wrong, when something did. */
  readonly error: unknown
}

/** These end an answer half-way: OpenRouter's, Zhipu's and DeepSeek's. */
const failures: ReadonlySet<string> = new Set(['error', 'network_error', 'insufficient_system_resource'])

/**
 * Reads a chat completion (its `message`) or a chunk of a stream (its `delta`), as in OpenAI's API reference
 * "Chat Completions". A refusal is an answer like any other. Reasoning has two names, DeepSeek's and OpenRouter's, and
 * some send both; one that stands as `<think>` within the text is part of the text.
 */
export function readChatObject(object: ChatObject): Addition {
  const choices: unknown[] = Array.isArray(object.choices) ? object.choices : []
  const choice = choices.map(record).find(({ index = 0 }) => index === 0) ?? {} // others were not asked for
  const message = record(choice['delta'] ?? choice['message'])
  const finishReason = string(choice['finish_reason'])
  return {
    reasoning: string(message['reasoning_content']) || string(message['reasoning']) || '',
    text: contentText(message['content']) ?? string(message['refusal']) ?? '',
    finishReason,
    usage: readUsage(object.usage),
    model: cleanText(string(object.model) ?? '').slice(0, maxModelName) || undefined,
    error: object.error ?? choice['error'] ?? (failures.has(finishReason ?? '') ? {} : undefined),
  }
}

const incompleteReasons: ReadonlyMap<string, IncompleteReason> = new Map([
  ['length', 'max_output_tokens'],
  ['content_filter', 'content_filter'],
])

/** The end of an answer; a reason that is not known counts as a normal end. */
export function finish(reason: string, usage: Usage | undefined, model: string | undefined): Finish {
  return { incomplete: incompleteReasons.get(reason), usage, model }
}

/** @throws DaehwaError `upstream_bad_response` when the text is not a JSON object */
export function parseChatObject(text: string): ChatObject {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null) return value
  } catch {
    // The parser's message would quote the answer.
  }
  throw DaehwaError.of('upstream_bad_response', { detail: 'it is not JSON' })
}

/** Content as text, or as a list of parts of which those of text count. */
function contentText(content: unknown): string | undefined {
  if (!Array.isArray(content)) return string(content)
  return content.map((part: unknown) => string(record(part)['text']) ?? '').join('')
}

function readUsage(value: unknown): Usage | undefined {
  const usage = record(value)
  const [input, output] = [usage['prompt_tokens'], usage['completion_tokens']]
  if (!isCount(input) || !isCount(output)) return undefined
  const total = usage['total_tokens']
  return { input_tokens: input, output_tokens: output, total_tokens: isCount(total) ? total : input + output }
}

const isCount = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) <= maxTokens

export const string = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)

export const record = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
