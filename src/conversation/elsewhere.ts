import { DaehwaError } from './errors.ts'
import { Mirror, type MirrorDeps } from './mirror.ts'
import type { TurnRecord } from './turn.ts'

/** How often it is looked whether anybody still reads. Milliseconds. */
const lookAgain = 50

/** Turns that run on other instances, for their readers here. */
export class Elsewhere {
  readonly #deps: MirrorDeps
  /** Those that are read now, by tenant and turn. */
  readonly #mirrors = new Map<string, Mirror>()
  #stopping = false

  constructor(deps: Omit<MirrorDeps, 'watches'>) {
    this.#deps = {
      ...deps,
      watches: (mirror, begun) => {
        const key = keyOf(mirror.tenant, mirror.record)
        if (begun) this.#mirrors.set(key, mirror)
        else if (this.#mirrors.get(key) === mirror) this.#mirrors.delete(key)
        if (begun && this.#stopping) mirror.stop(DaehwaError.of('server_shutting_down').after(1))
      },
    }
  }

  /** The turn for a reader here; all readers of one turn share what is known of it. */
  follow(tenant: string, record: TurnRecord): Mirror {
    const known = this.#mirrors.get(keyOf(tenant, record))
    if (known === undefined) return new Mirror(this.#deps, tenant, record)
    known.saw(record)
    return known
  }

  /** Resolves when nobody reads any more, because what they read has ended or they were stopped. */
  async unread(): Promise<void> {
    while (this.#mirrors.values().some(({ isRead }) => isRead)) {
      await new Promise((resolve) => setTimeout(resolve, lookAgain))
    }
  }

  /** Whoever reads is told that the server is shutting down. */
  stop(): void {
    this.#stopping = true
    for (const mirror of this.#mirrors.values()) mirror.stop(DaehwaError.of('server_shutting_down').after(1))
  }
}

/** A turn that is tried again keeps its id, and is another one for its readers. */
const keyOf = (tenant: string, { id, createdAt }: TurnRecord): string => `${tenant}\0${id}\0${createdAt}`
