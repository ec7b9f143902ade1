import type { ModelInfo, Monotonic, Upstream } from './ports.ts'

/** An upstream's list of models, fetched when it is older than its reader likes, and once for all who wait. */
export class RememberedList {
  readonly #upstream: Upstream
  readonly #clock: Monotonic
  #cached: { at: number; list: readonly ModelInfo[] | undefined } | undefined
  #fetching: Promise<readonly ModelInfo[] | undefined> | undefined

  constructor(upstream: Upstream, clock: Monotonic) {
    this.#upstream = upstream
    this.#clock = clock
  }

  /** The list, at most `maxAge` milliseconds old; undefined where the upstream has none. */
  async read(maxAge: number): Promise<readonly ModelInfo[] | undefined> {
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
