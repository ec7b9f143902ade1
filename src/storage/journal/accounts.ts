import { dayOf, firstDayOfMonth } from '../../conversation/access/limits.ts'
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
    const { conversation, nextSeq } = stateOf(head)
    const tables = figuresOf(head.key, { id: conversation, next_seq: nextSeq })
    const [open, used, unsettled] = [this.#open, this.#used, this.#unsettled]
    return {
      ...tables,
      *open(apiKey) {
        const known = open.get(apiKey) ?? (yield* tables.open(apiKey))
        open.set(apiKey, known)
        return withOpen(known, unsettled.get(apiKey))
      },
      *used(apiKey, at) {
        let known = used.get(apiKey)
        if (known?.on !== dayOf(at)) known = { ...(yield* tables.used(apiKey, at)), on: dayOf(at) }
        used.set(apiKey, known)
        return withUsed(known, unsettled.get(apiKey), at)
      },
      *lastTurn() {
        if (head.lastTurn === undefined) head.lastTurn = yield* tables.lastTurn()
        return head.lastTurn
      },
      *ofClient(at) {
        const day = dayOf(at)
        if (head.charged?.day !== day)
          head.charged = { day, tokens: (yield* tables.ofClient(at)) + chargedOn(day, head.tail) }
        return head.charged.tokens
      },
    }
  }

  #of(apiKey: string): Unsettled {
    const known = this.#unsettled.get(apiKey)
    if (known !== undefined) return known
    const none = { turns: 0, tokens: 0, charged: new Map<number, number>() }
    this.#unsettled.set(apiKey, none)
    return none
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
