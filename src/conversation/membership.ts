import { codeOf, DaehwaError } from './errors.ts'
import { newId } from './ids.ts'
import type { InstanceStore, TakenTurn } from './instance-store.ts'
import type { Log, Monotonic, Now } from './ports.ts'

/** How often it is looked at least whether others have ended a turn that runs here, or read one. Milliseconds. */
const watchEvery = 250

interface MembershipDeps {
  readonly store: InstanceStore
  /** Whether there may be other instances. */
  readonly shared: boolean
  /** Milliseconds that an instance is believed to live after its last sign of life, by the clock of the database. */
  readonly lease: number
  readonly now: Now
  readonly clock: Monotonic
  readonly log: Log
}

/** What an instance does when it hears of others. */
interface Duties {
  /** Whether it takes nothing new on any more. */
  readonly draining: boolean
  /** Runs turns that waited for an instance that is gone. */
  resume(turns: readonly TakenTurn[]): void
  /** Stops all that runs: others may have taken it over. */
  lose(): void
  /** Stops what others have ended. */
  watch(): Promise<void>
}

/**
 * This process among the instances of one database. It renews its lease every third of it, and looks every sixth for
 * others whose lease is over. When two thirds have passed since it last knew that it lives, it stops what it runs before
 * others may begin: then it joins anew, under another id.
 */
export class Membership {
  readonly #deps: MembershipDeps
  readonly #doing = new Set<string>()
  #id: string
  #member = false
  #outOfReach = false
  /** By the monotonic clock: before the last renewal was asked for, and the last look at the others. */
  #confirmed = 0
  #looked = 0
  #timer: NodeJS.Timeout | undefined

  constructor(deps: MembershipDeps) {
    this.#deps = deps
    this.#id = newId('inst', deps.now())
  }

  /** @throws DaehwaError `storage_unavailable` while it may be taken for dead */
  get id(): string {
    if (!this.#member) throw DaehwaError.of('storage_unavailable').after(1)
    return this.#id
  }

  async start(duties: Duties): Promise<void> {
    const { shared, lease } = this.#deps
    await this.#join()
    await this.#takeOver(duties)
    if (shared) this.#timer = setInterval(() => this.#tick(duties), Math.min(watchEvery, lease / 12))
  }

  /** To be called when nothing runs any more: what still waits is others' at once. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    this.#member = false
    await this.#deps.store.leave(this.#id).catch(() => {}) // then its lease runs out
  }

  #tick(duties: Duties): void {
    const { clock, lease, store } = this.#deps
    const now = clock()
    if (this.#member && now - this.#confirmed >= (lease * 2) / 3) this.#lose(duties)
    if (!this.#member) {
      this.#once('join', () => this.#join())
      return
    }
    if (now - this.#confirmed >= lease / 3) this.#once('renew', () => this.#renew(store, duties))
    if (now - this.#looked >= lease / 6 && !duties.draining)
      this.#once('take over', () => this.#takeOver(duties))
    this.#once('watch', () => duties.watch())
  }

  async #join(): Promise<void> {
    const [asked, id] = [this.#deps.clock(), this.#id]
    await this.#deps.store.join(id, this.#deps.lease)
    this.#confirmed = asked
    this.#member = true
  }

  async #renew(store: InstanceStore, duties: Duties): Promise<void> {
    const [asked, id] = [this.#deps.clock(), this.#id]
    const renewed = await store.renew(id, this.#deps.lease)
    if (id !== this.#id) return
    if (renewed) this.#confirmed = asked
    else this.#lose(duties)
  }

  async #takeOver(duties: Duties): Promise<void> {
    const { store, now, clock, log } = this.#deps
    const id = this.#id
    this.#looked = clock()
    const queued = await store.takeOver(id, now())
    if (id !== this.#id || queued.length === 0) return // what one took over that is dead by now is others'
    log.info({ turns: queued.length }, 'running the turns that were waiting')
    duties.resume(queued)
  }

  #lose(duties: Duties): void {
    const { store, now, log } = this.#deps
    log.warn({ instance: this.#id }, 'the database was out of reach for too long: what ran here is given up')
    const old = this.#id
    this.#member = false
    this.#id = newId('inst', now())
    store.leave(old).catch(() => {}) // otherwise its lease runs out
    duties.lose()
  }

  /** Begins what is not under way already. What fails is tried again by the next tick; that it fails is said once. */
  #once(what: string, work: () => Promise<void>): void {
    if (this.#doing.has(what)) return
    this.#doing.add(what)
    work()
      .then(() => this.#say(undefined))
      .catch((error: unknown) => this.#say(error))
      .finally(() => this.#doing.delete(what))
  }

  #say(error: unknown): void {
    const { log } = this.#deps
    if ((error !== undefined) === this.#outOfReach) return
    this.#outOfReach = error !== undefined
    if (error === undefined) log.info({}, 'the database answers again')
    else log.warn({ code: codeOf(error), err: error }, 'the database does not answer')
  }
}
