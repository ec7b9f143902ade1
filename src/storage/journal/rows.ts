import { all, run, type Work } from '../database.ts'
import type { JournalRecord } from './records.ts'

/** The rows of the journal, one for each transaction, numbered as they were written. */
export class Rows {
  /** How large they are together, in UTF-16 units of JSON. */
  size = 0
  /** The number of the next one. */
  next = 1
  #kept: { readonly n: number; readonly length: number }[] = []

  #keep(n: number, { length }: string): void {
    this.#kept.push({ n, length })
    this.size += length
    this.next = n + 1
  }

  *add(records: readonly JournalRecord[]): Work<void> {
    const body = JSON.stringify(records)
    yield* run('INSERT INTO journal (n, body) VALUES (?, ?)', this.next, body)
    this.#keep(this.next, body)
  }

  *read(): Work<{ n: number; records: JournalRecord[] }[]> {
    const rows = yield* all<{ n: number; body: string }>('SELECT n, body FROM journal ORDER BY n')
    this.#kept = []
    this.size = 0
    for (const { n, body } of rows) this.#keep(n, body)
    return rows.map(({ n, body }) => ({ n, records: JSON.parse(body) as JournalRecord[] }))
  }

  *dropBefore(oldest: number): Work<void> {
    yield* run('DELETE FROM journal WHERE n < ?', oldest)
    const rest = this.#kept.findIndex(({ n }) => n >= oldest)
    const gone = this.#kept.splice(0, rest < 0 ? this.#kept.length : rest)
    for (const { length } of gone) this.size -= length
  }
}
