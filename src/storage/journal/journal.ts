import type { Companion, Work } from '../database.ts'
import { type Head, stateOf } from './heads.ts'
import { Memory } from './memory.ts'
import type { Accepted, Answered, JournalRecord } from './records.ts'
import { Rows } from './rows.ts'
import { chargeKeys, settleHead } from './settle.ts'

/** How much the journal holds, in UTF-16 units, before its oldest turns go to the tables: what a start after a kill has to read. */
const usual = 8 * 1024 * 1024
/** How many turns go to the tables at once, about: the more, the fewer pages are written for each. Some milliseconds. */
const atOnce = 256

/** Looks for a conversation in memory. */
export type Find = () => Head | undefined

/**
 * Turns that are accepted and answered without anything in their way are kept here first: what happens to them in one turn of the
 * event loop is one row, written at the end of a table that is read only after a kill. They go to the tables later, many of one
 * conversation at once. Whatever else is asked of a conversation has it `put` into the tables before.
 *
 * All here is work that is run where no other can come in between. Memory says what the rows say: when a transaction is undone it is
 * read anew from them.
 */
export class Journal implements Companion {
  readonly memory = new Memory()
  /** Those of whom the tables lack something, in the order of their oldest rows. */
  readonly #unsettled = new Map<Head, number>()
  #records: JournalRecord[] = []
  readonly #rows = new Rows()
  readonly #most: number
  #isRead = false
  /** Why something could not be put into the tables: then the transaction is not kept, whatever else is in it. */
  #failure: { readonly reason: unknown } | undefined

  constructor({ most = usual } = {}) {
    this.#most = most
  }

  /** Whether memory says what the rows say. */
  get isRead(): boolean {
    return this.#isRead
  }

  /** How many conversations the tables lack something of. */
  get unsettled(): number {
    return this.#unsettled.size
  }

  /** Puts all there is of a conversation into the tables. One that has an open turn is theirs from then on. */
  put(find: Find): Work<Head | undefined> {
    return this.#whole(this.#put(find))
  }

  /** What fails of this fails the transaction, whatever else is in it. */
  *#whole<T>(work: Work<T>): Work<T> {
    try {
      return yield* work
    } catch (reason) {
      this.#failure = { reason }
      throw reason
    }
  }

  *#put(find: Find): Work<Head | undefined> {
    yield* this.read()
    const head = find()
    if (head !== undefined && this.#unsettled.has(head)) yield* this.#settle([head], true)
    return head
  }

  /** The same before the tables are changed: the conversation is read anew after that. */
  *release(find: Find): Work<void> {
    const head = yield* this.put(find)
    if (head !== undefined) this.memory.heads.forget(head)
    this.memory.accounts.forget()
  }

  /** The same for some, the oldest: answers how many. */
  putSome(): Work<number> {
    return this.#whole(this.#putSome())
  }

  *#putSome(): Work<number> {
    yield* this.read()
    const some = this.#oldest()
    yield* this.#settle(some, true)
    return some.length
  }

  /** The same for all at once, after which no row is left. */
  putAll(): Work<void> {
    return this.#whole(this.#putAll())
  }

  *#putAll(): Work<void> {
    yield* this.read()
    while (this.#unsettled.size > 0) yield* this.putSome()
    yield* this.#rows.dropBefore(this.#rows.next)
    this.#records = []
  }

  /** Writes what happened in this transaction; the oldest turns make room for it. */
  *beforeCommit(): Work<void> {
    if (this.#failure !== undefined) throw this.#failure.reason
    if (this.#records.length === 0) return
    if (this.#rows.size > this.#most) {
      const { answered = [], open = [] } = Object.groupBy(this.#oldest(), ({ tail }) =>
        tail.length > 0 ? 'answered' : 'open',
      )
      yield* this.#settle(answered, false)
      // Those that are open and nothing else were noted anew before, or are many: they would be noted anew for ever.
      yield* this.#settle(open, true)
      const [first = this.#rows.next] = this.#unsettled.values()
      yield* this.#rows.dropBefore(first)
    }
    const records = this.#records
    this.#records = []
    yield* this.#rows.add(records)
  }

  undone(): void {
    this.memory.clear()
    this.#unsettled.clear()
    this.#records = []
    this.#isRead = false
    this.#failure = undefined
  }

  /** Reads the rows that are there: once, and again after something was undone. What the tables have already is passed over. */
  *read(): Work<void> {
    if (this.#isRead) return
    try {
      for (const { n, records } of yield* this.#rows.read()) {
        for (const record of records) yield* this.#again(record, n)
      }
    } catch (error) {
      this.undone()
      throw error
    }
    this.#records = []
    this.#isRead = true
  }

  *#again(record: JournalRecord, n: number): Work<void> {
    if (record.kind === 'answered') {
      const head = this.memory.heads.withId(record.conversation)
      if (head?.open?.id === record.id) this.answered(head, head.open, record, n)
      return
    }
    const head = yield* this.memory.heads.load(record.key)
    if (head === undefined || stateOf(head).conversation !== record.conversation) return
    if (head.fence < record.fence) this.accepted(head, record, n)
  }

  #oldest(): Head[] {
    const oldest: Head[] = []
    let turns = 0
    for (const [head] of this.#unsettled) {
      if (turns >= atOnce) break
      oldest.push(head)
      turns += head.tail.length + 1
    }
    return oldest
  }

  accepted(head: Head, record: Accepted, n = this.#rows.next): void {
    this.memory.accepted(head, record)
    this.#note(head, record, n)
  }

  answered(head: Head, open: Accepted, record: Answered, n = this.#rows.next): void {
    this.memory.answered(head, open, record)
    this.#note(head, record, n)
  }

  /** `n`: the row that it stands in. */
  #note(head: Head, record: JournalRecord, n: number): void {
    this.#records.push(record)
    if (!this.#unsettled.has(head)) this.#unsettled.set(head, n)
  }

  /** Writes turns into the tables; an open one too where it is asked for, or else it is noted anew. */
  *#settle(heads: readonly Head[], withOpen: boolean): Work<void> {
    const turns = heads.flatMap(({ tail }) => tail)
    for (const head of heads) {
      if (head.tail.length > 0 || withOpen) yield* settleHead(head, withOpen ? head.open : undefined)
    }
    yield* chargeKeys(turns)
    for (const head of heads) {
      this.memory.settled(head, withOpen)
      this.#unsettled.delete(head)
      if (head.open !== undefined && !withOpen) this.#note(head, head.open, this.#rows.next)
    }
  }
}
