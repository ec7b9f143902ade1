import { codeOf, DaehwaError, type ErrorCode } from './errors.ts'
import type { Target } from './model-catalog.ts'
import type { Observer } from './observer.ts'
import type { Finish, Hear, Log, ModelRequest, Upstream } from './ports.ts'
import type { Generation } from './settings.ts'

/** By the names of `Target.upstream`. */
export type Upstreams = ReadonlyMap<string, Upstream>

/** What lies with the upstream, so that another one may do better. */
const upstreamsOwn: ReadonlySet<ErrorCode> = new Set([
  'upstream_rate_limited',
  'upstream_quota',
  'upstream_error',
  'upstream_bad_response',
  'upstream_unavailable',
  'upstream_timeout',
  'upstream_auth',
])

/** What lies with the request: said by a model that stands in, it speaks of that one alone. */
const requestsOwn: ReadonlySet<ErrorCode> = new Set([
  'context_length_exceeded',
  'model_not_found',
  'invalid_request',
])

/**
 * Asks one model after the other until one begins to answer: from its first piece on there is no other, and neither
 * when `signal` has aborted. What `own`, the model that was chosen, has against the request holds; stand-ins that cannot
 * take it are passed over. The error is the last one that lay with an upstream.
 */
export async function firstThatAnswers(
  targets: readonly Target[],
  own: Target,
  attempt: (target: Target, hear: Hear) => Promise<Finish>,
  hear: Hear,
  { log, observer }: { readonly log: Log; readonly observer: Observer },
  signal: AbortSignal,
): Promise<Finish> {
  let trouble: unknown
  let begun = false
  const hearing: Hear = (piece) => {
    begun = true
    return hear(piece)
  }
  for (const target of targets) {
    try {
      return await attempt(target, hearing)
    } catch (error) {
      signal.throwIfAborted()
      if (begun) throw error
      if (liesWithUpstream(error)) trouble = error
      else if (target.name === own.name || !liesWithRequest(error)) throw error
      tell(log, target, codeOf(error))
      if (target !== targets.at(-1)) observer.again('fallback', target.upstream)
    }
  }
  throw trouble
}

const liesWithUpstream = (error: unknown): boolean => upstreamsOwn.has(codeOf(error)) && !isRefusal(error)

const liesWithRequest = (error: unknown): boolean => requestsOwn.has(codeOf(error)) || isRefusal(error)

const isRefusal = (error: unknown): boolean => error instanceof DaehwaError && error.refusal

function tell(log: Log, { name: model, upstream }: Target, code: ErrorCode): void {
  // Who is answered by a stand-in notices nothing, and a wrong key does not pass by itself.
  if (code === 'upstream_auth') log.error({ model, upstream, code }, 'an upstream refuses its key')
  else log.warn({ model, upstream, code }, 'a model does not answer')
}

/** Which model of a chain answered, to be kept. It holds for this chain alone: one that was changed begins anew. */
export const servedMark = (chain: readonly Target[], { name }: Target): string =>
  [...chain.map((target) => target.name), name].join('\n')

/** Puts the one that answered last first, so that a conversation stays where its prompt cache is. */
export function preferring(chain: readonly Target[], mark: string | undefined): readonly Target[] {
  return startingWith(chain, (target) => servedMark(chain, target) === mark)
}

export function startingWith(
  chain: readonly Target[],
  isFirst: (target: Target) => boolean,
): readonly Target[] {
  const first = chain.find(isFirst)
  return first === undefined ? chain : [first, ...chain.filter((target) => target !== first)]
}

export function answerOf(
  upstreams: Upstreams,
  target: Target,
  request: Omit<ModelRequest, 'model'>,
  hear: Hear,
  signal: AbortSignal,
): Promise<Finish> {
  const upstream = upstreams.get(target.upstream)
  if (upstream === undefined) throw new Error(`no upstream is called ${target.upstream}`)
  const settings = request.settings && supported(request.settings, target)
  const { messages, of, underway } = request
  const asking = { model: target.model, messages, settings, of, underway }
  signal.throwIfAborted()
  if (target.check === undefined) return upstream.answer(asking, hear, signal)
  return target.check().then(() => {
    signal.throwIfAborted()
    return upstream.answer(asking, hear, signal)
  })
}

/** @throws DaehwaError `invalid_request` for a setting that the model does not take, by the configuration */
export function checkSettings(settings: Generation, { settings: taken, name: model }: Target): void {
  for (const [name, value] of Object.entries(settings)) {
    if (value === undefined || taken === undefined || (taken as readonly string[]).includes(name)) continue
    const problem = `'${model}' takes no '${name}'. Leave it out, or choose another model.`
    throw DaehwaError.of('invalid_request', { problem })
  }
}

/** Those of the settings that a model takes: one that stands in for another answers as well as it can. */
function supported(settings: Generation, { settings: taken }: Target): Generation {
  if (taken === undefined) return settings
  return Object.fromEntries(
    taken.filter((name) => settings[name] !== undefined).map((name) => [name, settings[name]]),
  )
}
