import type { ModelRequest } from '../conversation/ports.ts'
import { type Generation, generationSettings } from '../conversation/settings.ts'
import { record, string } from './chat-completion.ts'

type Setting = keyof Generation

/** What was asked, for errors to name. */
export type Asked = Pick<ModelRequest, 'model' | 'settings'>

/** So much of what an upstream says is searched, in characters. */
const maxSentence = 4_096

/** What upstreams call the settings. `stop` is also a word, so it has to stand as a name. */
const names: Readonly<Record<Setting, RegExp>> = {
  temperature: /\btemperature\b/i,
  top_p: /\btop_?p\b/i,
  max_output_tokens: /\bmax_?(completion_?|output_?)?tokens\b/i,
  stop: /^stop\b|['"`]stop['"`]|\bparameters?:? stop\b/,
  reasoning_effort: /\breasoning[_. ](effort|value)\b|\bdoes not support thinking\b/i,
}

/**
 * The setting that an upstream refuses with a 400 or 422: the one that its `param` names (OpenAI's "Error codes"),
 * or else the first in its sentence. Only one that was sent can be the reason.
 */
export function refusedSetting(
  error: Readonly<Record<string, unknown>>,
  sentence: string,
  settings: Generation = {},
): Setting | undefined {
  const said = string(error['param']) ?? sentence
  const found = generationSettings
    .map((name) => ({ name, at: settings[name] === undefined ? -1 : said.search(names[name]) }))
    .filter(({ at }) => at >= 0)
  return found.sort((a, b) => a.at - b.at)[0]?.name
}

/** Whether the answer alone was to take all of the window that the sentence tells of: no shorter input would help. */
export function fillsWindow(sentence: string, { max_output_tokens = 0 }: Generation = {}): boolean {
  const window = /\bcontext length is (\d+)/i.exec(sentence)?.[1]
  return window !== undefined && max_output_tokens >= Number(window)
}

/** All that a refusal says in words, also where FastAPI's `detail` or OpenRouter's `metadata` holds it. */
export function sentenceOf(body: Readonly<Record<string, unknown>>): string {
  const error = record(body['error'] ?? body)
  const detail = body['detail']
  const sentences = [
    string(body['error']),
    string(error['message']),
    string(record(error['metadata'])['raw']),
    string(detail) ?? JSON.stringify(detail, ['loc', 'msg']), // its `input` is what was sent
  ]
  const said = sentences.filter((sentence) => sentence !== undefined).join(' ')
  return said.slice(0, maxSentence)
}
