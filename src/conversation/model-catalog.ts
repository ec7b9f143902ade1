import type { Limits } from './context/context-window.ts'
import { limitsOf } from './model-limits.ts'
import type { ModelInfo, Prices } from './ports.ts'
import type { Generation } from './settings.ts'

/** What an operator says of a model, in the words of the configuration file. Tokens. */
interface ModelSpec {
  readonly window?: number | undefined
  readonly max_output_tokens?: number | undefined
  /** The settings that it takes; undefined: all. */
  readonly settings?: readonly (keyof Generation)[] | undefined
  readonly prices?: Prices | undefined
}

interface CatalogUpstream {
  readonly name: string
  /** What users write before the names of its models: `openai/`, or nothing. */
  readonly prefix: string
  readonly models: ReadonlyMap<string, ModelSpec>
}

/** Who answers, and under which names. */
export interface Catalog {
  /** The first is that of names that say no upstream. */
  readonly upstreams: readonly [CatalogUpstream, ...CatalogUpstream[]]
  /** Names without a slash, each with the models that it stands for. */
  readonly aliases: ReadonlyMap<string, readonly string[]>
  /** The window of a model of which nothing is known, in tokens. */
  readonly otherWindow: number
}

/** A model at its upstream. */
export interface Target {
  /** The upstream's name. */
  readonly upstream: string
  /** As that upstream calls it. */
  readonly model: string
  /** As users write it: `openai/gpt-4.1`, or bare where the one upstream has no name. */
  readonly name: string
  readonly limits: Limits
  /** The settings that it takes; undefined: all. */
  readonly settings: readonly (keyof Generation)[] | undefined
  /** Whether its name begins like that of another upstream, which there is not, or not any more. */
  readonly guessed: boolean
  /** To be asked before anything is sent: throws `model_not_found` where the name may have meant another upstream. */
  readonly check?: () => Promise<void>
}

export type Targets = readonly [Target, ...Target[]]

/** Who is asked for a model or an alias, in order, then those of `fallback`; nobody twice. */
export function targetsOf(catalog: Catalog, name: string, fallback: readonly string[]): Targets {
  const names = [name, ...fallback].flatMap((one) => catalog.aliases.get(one) ?? [one])
  const targets = new Map(names.map((one) => targetOf(catalog, one)).map((target) => [target.name, target]))
  const [first = targetOf(catalog, name), ...others] = targets.values()
  return [first, ...others]
}

/** Who is asked under a name, as far as the name says. */
interface Owner extends Pick<Target, 'model' | 'guessed'> {
  readonly upstream: CatalogUpstream
}

/** Whether the configuration itself names it, so that no list need be asked. */
export function isConfigured(catalog: Catalog, name: string): boolean {
  if (catalog.aliases.has(name)) return true
  const { upstream, model } = whose(catalog, name)
  return upstream.models.has(model)
}

/** What the configuration says that a model costs. */
export function pricesOf(catalog: Catalog, name: string): Prices | undefined {
  const { upstream, model } = whose(catalog, name)
  return upstream.models.get(model)?.prices
}

/** An upstream's models under the names that users write, and those that are configured and not in its list. */
export function entriesOf(upstream: CatalogUpstream, listed: readonly ModelInfo[]): ModelInfo[] {
  const ids = new Set(listed.map(({ id }) => id))
  const unlisted = [...upstream.models.keys()].filter((id) => !ids.has(id))
  const added = unlisted.map((id) => entry(id, upstream.name, id))
  return [...listed, ...added].map((info) => ({
    ...info,
    id: upstream.prefix + info.id,
    ...told(upstream.models.get(info.id)),
  }))
}

/** The aliases as models of this server; `root` is the model that each stands for first. */
export const aliasEntries = (catalog: Catalog): ModelInfo[] =>
  [...catalog.aliases.keys()].map((alias) => entry(alias, 'daehwa', targetsOf(catalog, alias, [])[0].name))

function targetOf(catalog: Catalog, name: string): Target {
  const { upstream, model, guessed } = whose(catalog, name)
  const { window, max_output_tokens: answer, settings } = upstream.models.get(model) ?? {}
  return {
    upstream: upstream.name,
    model,
    name: upstream.prefix + model,
    limits: limitsOf(model, catalog.otherWindow, { window, answer }),
    settings,
    guessed,
  }
}

function whose({ upstreams }: Catalog, name: string): Owner {
  const named = upstreams.find(
    ({ prefix }) => prefix !== '' && name.startsWith(prefix) && name.length > prefix.length,
  )
  if (named !== undefined) return { upstream: named, model: name.slice(named.prefix.length), guessed: false }
  const [first] = upstreams
  const guessed = first.prefix !== '' && name.includes('/') && !first.models.has(name)
  return { upstream: first, model: name, guessed }
}

const entry = (id: string, owner: string, root: string): ModelInfo => ({
  ...{ id, object: 'model', created: 0, owned_by: owner, permission: [], root },
})

const told = ({ window, max_output_tokens, prices }: ModelSpec = {}): Partial<ModelInfo> => ({
  ...(window !== undefined && { context_window: window }),
  ...(max_output_tokens !== undefined && { max_output_tokens }),
  ...(prices !== undefined && { prices }),
})
