import { DaehwaError, type ErrorCode } from './errors.ts'
import { Mirror, type MirrorDeps } from './mirror.ts'
import type { Now } from './ports.ts'
import type { TurnRecord } from './turn.ts'

/** Turns that run on other instances, for their readers here. */
export class Elsewhere {
  readonly #deps: MirrorDeps & { readonly now: Now }
  readonly #mirrors = new Map<string, Mirror>()
  #stopping = false

  constructor(deps: MirrorDeps & { readonly now: Now }) {
    this.#deps = deps
  }

  /** The turn for a reader here; all readers of one turn share what is known of it. */
  follow(tenant: string, record: TurnRecord): Mirror {
    const key = `${tenant}\0${record.id}`
    const known = this.#mirrors.get(key)
    if (known !== undefined) return known
    const mirror = new Mirror(this.#deps, tenant, record, (turn) => this.#endedBy(turn, 'history_deleted'))
    this.#mirrors.set(key, mirror)
    mirror.ended.finally(() => this.#mirrors.delete(key))
    if (this.#stopping) this.#stop(mirror)
    return mirror
  }

  /** Whoever waits is told that the server is shutting down. */
  stop(): void {
    this.#stopping = true
    for (const mirror of this.#mirrors.values()) this.#stop(mirror)
  }

  #stop(mirror: Mirror): void {
    mirror.stop(this.#endedBy(mirror.record, 'server_shutting_down'))
  }

  #endedBy(turn: TurnRecord, code: 'history_deleted' | 'server_shutting_down'): TurnRecord {
    const { message } = DaehwaError.of(code)
    const status = code === 'history_deleted' ? 'cancelled' : 'failed'
    return { ...turn, status, error: { code: code satisfies ErrorCode, message }, endedAt: this.#deps.now() }
  }
}
