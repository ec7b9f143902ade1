import { DaehwaError, invalid } from './errors.ts'
import type { Log, ModelInfo, Monotonic, Upstream } from './ports.ts'

/** How old a list may be: for reading it, and before a name is refused because of it. Milliseconds. */
const freshFor = 60_000
const freshForRefusal = 5_000
const maxNameLength = 256

/** The models that can be chosen: the upstream's list, remembered for a minute. */
export class Models {
  readonly #upstream: Upstream
  readonly #configuredDefault: string | undefined
  readonly #clock: Monotonic
  readonly #log: Log
  #cached: { at: number; list: readonly ModelInfo[] | undefined } | undefined
  #fetching: Promise<readonly ModelInfo[] | undefined> | undefined
  #chosenDefault: string | undefined

  constructor(deps: { upstream: Upstream; defaultModel: string | undefined; clock: Monotonic; log: Log }) {
    this.#upstream = deps.upstream
    this.#configuredDefault = deps.defaultModel
    this.#clock = deps.clock
    this.#log = deps.log
  }

  /** The upstream's list; empty where it has none. */
  async list(): Promise<readonly ModelInfo[]> {
    return (await this.#read(freshFor)) ?? []
  }

  /**
   * The model of clients that have chosen none: the configured one, or else the first of the upstream's list,
   * which then stays the same until the server is restarted.
   *
   * @throws DaehwaError `no_default_model` when there is neither
   */
  async default(): Promise<string> {
    const chosen = this.#configuredDefault ?? this.#chosenDefault
    if (chosen !== undefined) return chosen
    const first = (await this.list())[0]?.id
    if (first === undefined) throw DaehwaError.of('no_default_model')
    this.#chosenDefault ??= first
    return this.#chosenDefault
  }

  /**
   * Checks that a model may be chosen. Where the upstream has no list any name may, and the log says so.
   *
   * @throws DaehwaError `invalid_request`, `model_not_found`
   */
  async check(model: string): Promise<void> {
    checkModelName(model)
    const has = (list: readonly ModelInfo[] | undefined) => list?.some((m) => m.id === model) ?? true
    if (!has(await this.#read(freshFor)) && !has(await this.#read(freshForRefusal))) {
      throw DaehwaError.of('model_not_found', { model })
    }
    if (this.#cached?.list === undefined) {
      this.#log.warn({ model }, 'the upstream has no list of models: the name was accepted unchecked')
    }
  }

  async #read(maxAge: number): Promise<readonly ModelInfo[] | undefined> {
    if (this.#cached !== undefined && this.#clock() - this.#cached.at < maxAge) return this.#cached.list
    this.#fetching ??= this.#fetch().finally(() => {
      this.#fetching = undefined
    })
    return this.#fetching
  }

  async #fetch(): Promise<readonly ModelInfo[] | undefined> {
    const list = await this.#upstream.models()
    this.#cached = { at: this.#clock(), list }
    return list
  }
}

/** @throws DaehwaError `invalid_request` when no upstream could have a model of this name */
export function checkModelName(model: string): void {
  if (model.length === 0 || model.length > maxNameLength || /[\p{Cc}\p{Cs}]/u.test(model)) {
    throw invalid(`'model' must be a name of 1 to ${maxNameLength} printable characters.`)
  }
}
