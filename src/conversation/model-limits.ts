import type { Limits } from './context/context-window.ts'

/**
 * Context window and largest answer, in tokens, of well-known models, from their makers' model pages.
 * The longest prefix that a model's name begins with counts, so that dated names need no line of their own.
 */
const known: Readonly<Record<string, readonly [window: number, answer: number]>> = {
  demo: [1_047_576, 32_768],
  'gpt-5': [400_000, 128_000],
  'gpt-5-chat': [128_000, 16_384],
  'gpt-4.1': [1_047_576, 32_768],
  'gpt-4o': [128_000, 16_384],
  'chatgpt-4o': [128_000, 16_384],
  'gpt-4-turbo': [128_000, 4_096],
  'gpt-4-1106': [128_000, 4_096],
  'gpt-4-0125': [128_000, 4_096],
  'gpt-4': [8_192, 8_192],
  'gpt-4-32k': [32_768, 32_768],
  'gpt-3.5-turbo': [16_385, 4_096],
  'gpt-35-turbo': [16_385, 4_096],
  o1: [200_000, 100_000],
  'o1-mini': [128_000, 65_536],
  'o1-preview': [128_000, 32_768],
  o3: [200_000, 100_000],
  'o4-mini': [200_000, 100_000],
  'claude-3': [200_000, 8_192],
  'claude-sonnet-4': [200_000, 64_000],
  'claude-opus-4': [200_000, 32_000],
  'claude-haiku-4': [200_000, 64_000],
  'gemini-1.5-flash': [1_048_576, 8_192],
  'gemini-2': [1_048_576, 65_536],
  'deepseek-chat': [128_000, 8_192],
  'deepseek-reasoner': [128_000, 64_000],
}

const prefixes = Object.keys(known).sort((a, b) => b.length - a.length)

type Given = { readonly [K in keyof Limits]?: Limits[K] | undefined }

/**
 * The limits of a model. A name may bear its maker before a slash (`openai/gpt-4o`); a name that is not known
 * has `otherWindow` tokens; what is `given` of it counts more than what is known. An answer that would take more than
 * half of the window is given a quarter of it.
 */
export function limitsOf(model: string, otherWindow: number, given: Given = {}): Limits {
  const name = model.slice(model.lastIndexOf('/') + 1).toLowerCase()
  const prefix = prefixes.find((p) => name.startsWith(p))
  const [knownWindow, knownAnswer] = (prefix !== undefined && known[prefix]) || [otherWindow, undefined]
  const window = given.window ?? knownWindow
  const answer = given.answer ?? knownAnswer ?? window
  return { window, answer: answer <= window / 2 ? answer : Math.floor(window / 4) }
}
