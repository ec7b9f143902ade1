import { codeOf, DaehwaError, invalid } from './errors.ts'
import {
  aliasEntries,
  type Catalog,
  entriesOf,
  isConfigured,
  pricesOf,
  type Target,
  type Targets,
  targetsOf,
} from './model-catalog.ts'
import type { Log, ModelInfo, Monotonic, Prices, Upstream } from './ports.ts'
import { RememberedList } from './remembered-list.ts'

/** How old a list may be: for reading it, and before a name is refused because of it. Milliseconds. */
const freshFor = 60_000
const freshForRefusal = 5_000
const maxNameLength = 256
/** Of so many names it is remembered who answers to them. */
const remembered = 1_000

export interface ModelsDeps {
  /** By the names that the catalog has for them. */
  readonly upstreams: ReadonlyMap<string, Upstream>
  readonly catalog: Catalog
  readonly defaultModel: string | undefined
  readonly clock: Monotonic
  readonly log: Log
}

/** The models that can be chosen, of all upstreams: their lists, remembered for a minute, and who answers to a name. */
export class Models {
  readonly #deps: ModelsDeps
  readonly #lists: ReadonlyMap<string, RememberedList>
  /** Names that were guessed and then found in a list. */
  readonly #found = new Set<string>()
  #chosenDefault: string | undefined
  readonly #targets = new Map<string, Targets>()

  constructor(deps: ModelsDeps) {
    this.#deps = deps
    this.#lists = new Map(
      [...deps.upstreams].map(([name, upstream]) => [name, new RememberedList(upstream, deps.clock)]),
    )
  }

  /** Who is asked for a model or an alias: the first that answers. Then those of `fallback`; nobody twice. */
  targets(name: string, fallback: readonly string[] = []): readonly [Target, ...Target[]] {
    const [first, ...others] =
      fallback.length === 0 ? this.#alone(name) : targetsOf(this.#deps.catalog, name, fallback)
    return [this.#checked(first), ...others.map((target) => this.#checked(target))]
  }

  /**
   * All lists in one, what is configured besides, and the aliases. An upstream that fails is left out, and the log
   * says so.
   *
   * @throws DaehwaError the first upstream's error when all fail
   */
  async list(): Promise<readonly ModelInfo[]> {
    return (await this.#readAll()).models
  }

  /**
   * The model of clients that have chosen none: the configured one, or else the first of the list, which then stays
   * the same until the server is restarted.
   *
   * @throws DaehwaError `no_default_model` when there is neither
   */
  async default(): Promise<string> {
    const chosen = this.#deps.defaultModel ?? this.#chosenDefault
    if (chosen !== undefined) return chosen
    const { models, complete } = await this.#readAll()
    const first = models[0]?.id
    if (first === undefined) throw DaehwaError.of('no_default_model')
    if (complete) this.#chosenDefault ??= first // what stands in for a failing upstream does so for now
    return this.#chosenDefault ?? first
  }

  /**
   * Checks that a model may be chosen. Where its upstream has no list any name may, and the log says so.
   *
   * @throws DaehwaError `invalid_request`, `model_not_found`
   */
  async check(model: string): Promise<void> {
    checkModelName(model)
    if (isConfigured(this.#deps.catalog, model)) return
    await this.#checkListed(this.targets(model)[0], model)
  }

  /** What a model costs, where its operator has said so. */
  prices(name: string): Prices | undefined {
    return pricesOf(this.#deps.catalog, name)
  }

  /** Without a fallback, as nearly always: remembered for as many names as anybody uses. */
  #alone(name: string): Targets {
    const known = this.#targets.get(name)
    if (known !== undefined) return known
    const found = targetsOf(this.#deps.catalog, name, [])
    if (this.#targets.size >= remembered) this.#targets.clear()
    this.#targets.set(name, found)
    return found
  }

  #checked(target: Target): Target {
    if (!target.guessed || this.#found.has(target.name)) return target
    const check = async () => {
      await this.#checkListed(target, target.model)
      this.#found.add(target.name)
    }
    return { ...target, check }
  }

  async #checkListed(target: Target, model: string): Promise<void> {
    for (const maxAge of [freshFor, freshForRefusal]) {
      const list = await this.#lists.get(target.upstream)?.read(maxAge)
      if (list?.some(({ id }) => id === target.model)) return
      if (list !== undefined) continue
      if (target.guessed) break
      const message = 'the upstream has no list of models: the name was accepted unchecked'
      return this.#deps.log.warn({ model }, message)
    }
    throw DaehwaError.of('model_not_found', { model })
  }

  async #readAll(): Promise<{ models: readonly ModelInfo[]; complete: boolean }> {
    const { catalog, log } = this.#deps
    const lists = await Promise.allSettled(
      catalog.upstreams.map(async ({ name }) => this.#lists.get(name)?.read(freshFor)),
    )
    const failed = lists.flatMap((list, at) =>
      list.status === 'rejected' ? [{ upstream: catalog.upstreams[at]?.name, reason: list.reason }] : [],
    )
    if (failed.length === lists.length) throw failed[0]?.reason
    for (const { upstream, reason } of failed) {
      log.warn({ upstream, code: codeOf(reason) }, 'an upstream does not give its list of models')
    }
    const models = catalog.upstreams.flatMap((upstream, at) => {
      const list = lists[at]
      return entriesOf(upstream, (list?.status === 'fulfilled' ? list.value : undefined) ?? [])
    })
    return { models: [...models, ...aliasEntries(catalog)], complete: failed.length === 0 }
  }
}

/** @throws DaehwaError `invalid_request` when no upstream could have a model of this name */
export function checkModelName(model: string): void {
  if (model.length === 0 || model.length > maxNameLength || /[\p{Cc}\p{Cs}]/u.test(model)) {
    throw invalid(`'model' must be a name of 1 to ${maxNameLength} printable characters.`)
  }
}
