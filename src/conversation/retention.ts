import type { ConversationKey } from './conversation.ts'
import type { Eraser } from './eraser.ts'
import { codeOf } from './errors.ts'
import type { Log } from './ports.ts'

/** A client whose time is over, and when it was last active. */
export interface IdleClient {
  readonly client: string
  readonly activeAt: number
}

/** The part of a store that knows whose time is over. */
export interface RetentionStore {
  /** The first tenant behind this one in their order. */
  tenantAfter(tenant: string): Promise<string | undefined>
  /**
   * Clients of which nothing runs and that were inactive for longer than they may be, by the clock of the database, those
   * with a word of their own first; `days` is for those for whom neither they nor their tenant say anything.
   */
  idle(tenant: string, days: number | undefined, limit: number): Promise<readonly IdleClient[]>
  /** Drops imports to which nobody has added for an hour. Answers how many. */
  dropStaleImports(): Promise<number>
}

interface RetentionDeps {
  readonly store: RetentionStore
  readonly eraser: Pick<Eraser, 'eraseIdle' | 'scrub'>
  /** After how many days without activity a client is erased; undefined: never. Its own setting and its tenant's come first. */
  readonly retentionDays: number | undefined
  readonly log: Log
}

/** How often it is looked for clients whose time is over. Milliseconds. */
const every = 60 * 60 * 1000
/** How many clients are looked for at once. */
const page = 100

/**
 * Erases clients whose time is over, now and every hour. Several instances may do so at once: each client is erased only if
 * nothing has happened to it since it was found.
 */
export class Retention {
  readonly #deps: RetentionDeps
  #timer: NodeJS.Timeout | undefined
  #stopped = false
  #sweeping: Promise<void> | undefined

  constructor(deps: RetentionDeps) {
    this.#deps = deps
  }

  start(): void {
    const sweep = () => {
      this.#sweeping ??= this.#sweep().finally(() => {
        this.#sweeping = undefined
      })
    }
    sweep()
    this.#timer = setInterval(sweep, every)
  }

  /** Resolves when nothing is being erased any more. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    this.#stopped = true
    await this.#sweeping
  }

  async #sweep(): Promise<void> {
    const { store, eraser, log } = this.#deps
    let clients = 0
    try {
      if ((await store.dropStaleImports()) > 0) await eraser.scrub()
      for (let tenant = await store.tenantAfter(''); tenant !== undefined && !this.#stopped; ) {
        clients += await this.#sweepTenant(tenant)
        tenant = await store.tenantAfter(tenant)
      }
    } catch (error) {
      log.warn(
        { code: codeOf(error) },
        'not all clients whose time is over could be erased; tried again in an hour',
      )
    }
    if (clients > 0) log.info({ clients }, 'erased clients that were inactive for too long')
  }

  async #sweepTenant(tenant: string): Promise<number> {
    const { store, eraser, retentionDays } = this.#deps
    for (let total = 0; ; ) {
      const idle = await store.idle(tenant, retentionDays, page)
      const erased = await this.#erase(idle.map(({ client, activeAt }) => [{ tenant, client }, activeAt]))
      total += erased
      if (erased > 0) await eraser.scrub()
      if (idle.length < page || erased === 0 || this.#stopped) return total
    }
  }

  async #erase(idle: readonly (readonly [ConversationKey, number])[]): Promise<number> {
    let erased = 0
    for (const [key, activeAt] of idle) if (await this.#deps.eraser.eraseIdle(key, activeAt)) erased++
    return erased
  }
}
