import { dayOf, firstDayOfMonth } from '../../conversation/access/limits.ts'
import type { Work } from '../database.ts'
import { type Figures, figuresOf, type Open, type Used } from '../limit-work.ts'
import { type Head, stateOf } from './heads.ts'
import { type Accepted, type Answered, type JournaledTurn, tokensOf } from './records.ts'

/** What turns of one key hold and were charged that are not in the tables. */
interface Unsettled {
  turns: number
  tokens: number
  /** Tokens by day. */
  readonly charged: Map<number, number>
}

/** What keys have used of their limits: what the tables say, remembered until they change, and what is not in them yet. */
export class Accounts {
  readonly #open = new Map<string, Open>()
  readonly #used = new Map<string, Used & { readonly on: number }>()
  readonly #unsettled = new Map<string, Unsettled>()

  /** The tables have changed. */
  forget(): void {
    this.#open.clear()
    this.#used.clear()
  }

  clear(): void {
    this.forget()
    this.#unsettled.clear()
  }

  accepted({ apiKey, reserved }: Accepted, sign: 1 | -1 = 1): void {
    if (apiKey === undefined) return
    const of = this.#of(apiKey)
    of.turns += sign
    of.tokens += sign * reserved
  }

  charged(answered: Answered, sign: 1 | -1 = 1): void {
    const { apiKey, at = 0 } = answered.charge ?? {}
    if (apiKey === undefined) return
    const { charged } = this.#of(apiKey)
    const day = dayOf(at)
    const tokens = (charged.get(day) ?? 0) + sign * tokensOf(answered)
    if (tokens === 0) charged.delete(day)
    else charged.set(day, tokens)
  }

  /** What some figures say, with what is not in the tables. */
  beside(figures: Figures): Figures {
    const unsettled = this.#unsettled
    return {
      ...figures,
      *open(apiKey) {
        return withOpen(yield* figures.open(apiKey), unsettled.get(apiKey))
      },
      *used(apiKey, at) {
        return withUsed(yield* figures.used(apiKey, at), unsettled.get(apiKey), at)
      },
    }
  }

  /** The figures of a conversation in memory, none of whose turns is open. */
  of(head: Head): Figures {
    return new HeadFigures(head, this)
  }

  *open(apiKey: string, tables: () => Figures): Work<Open> {
    const known = this.#open.get(apiKey) ?? (yield* tables().open(apiKey))
    this.#open.set(apiKey, known)
    return withOpen(known, this.#unsettled.get(apiKey))
  }

  *used(apiKey: string, at: number, tables: () => Figures): Work<Used> {
    let known = this.#used.get(apiKey)
    if (known?.on !== dayOf(at)) {
      const { day, month } = yield* tables().used(apiKey, at)
      known = { day, month, on: dayOf(at) }
    }
    this.#used.set(apiKey, known)
    return withUsed(known, this.#unsettled.get(apiKey), at)
  }

  #of(apiKey: string): Unsettled {
    const known = this.#unsettled.get(apiKey)
    if (known !== undefined) return known
    const none = { turns: 0, tokens: 0, charged: new Map<number, number>() }
    this.#unsettled.set(apiKey, none)
    return none
  }
}

/** Methods of a class, and not functions of an object that is made for each turn: V8 would prepare each of those anew. */
class HeadFigures implements Figures {
  readonly #head: Head
  readonly #accounts: Accounts

  constructor(head: Head, accounts: Accounts) {
    this.#head = head
    this.#accounts = accounts
  }

  open(apiKey: string): Work<Open> {
    return this.#accounts.open(apiKey, () => this.#tables())
  }

  used(apiKey: string, at: number): Work<Used> {
    return this.#accounts.used(apiKey, at, () => this.#tables())
  }

  *lastTurn(): Work<number> {
    const head = this.#head
    if (head.lastTurn === undefined) head.lastTurn = yield* this.#tables().lastTurn()
    return head.lastTurn
  }

  *ofClient(at: number): Work<number> {
    const head = this.#head
    const day = dayOf(at)
    if (head.charged?.day !== day)
      head.charged = { day, tokens: (yield* this.#tables().ofClient(at)) + chargedOn(day, head.tail) }
    return head.charged.tokens
  }

  #tables(): Figures {
    const { conversation, nextSeq } = stateOf(this.#head)
    return figuresOf(this.#head.key, { id: conversation, next_seq: nextSeq })
  }
}

const chargedOn = (day: number, tail: readonly JournaledTurn[]): number =>
  tail.reduce(
    (sum, { answered }) => sum + (dayOf(answered.charge?.at ?? 0) === day ? tokensOf(answered) : 0),
    0,
  )

const withOpen = (open: Open, more: Unsettled | undefined): Open =>
  more === undefined ? open : { turns: open.turns + more.turns, tokens: open.tokens + more.tokens }

function withUsed(used: Used, more: Unsettled | undefined, at: number): Used {
  let { day, month } = used
  for (const [on, tokens] of more?.charged ?? []) {
    if (on === dayOf(at)) day += tokens
    if (on >= firstDayOfMonth(at)) month += tokens
  }
  return { day, month }
}
