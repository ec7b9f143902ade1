import type { PastItem, PastTurn, Size } from '../conversation.ts'

/** What is noted of a message: the place of its turn, its own with whether it is counted, its tokens, and where its JSON ends. */
const fields = 4
const spare = 8 * fields

/**
 * Of the messages of a past, oldest first, their sizes and where the JSON of each ends in its bytes. They are numbers in one
 * array with room behind them: objects that live for some turns are what collecting garbage takes longest for. Marks that
 * are added to share the array with what they were before. What two write there at once is the same.
 */
export class Marks {
  readonly #numbers: Int32Array
  /** How many messages there are. */
  readonly count: number

  private constructor(numbers: Int32Array, count: number) {
    this.#numbers = numbers
    this.count = count
  }

  static readonly none = new Marks(new Int32Array(0), 0)

  /** In bytes. */
  get size(): number {
    return this.#numbers.byteLength
  }

  /** Where the last message ends; -1: there is none. */
  get end(): number {
    return this.endBefore(this.count)
  }

  /** With messages behind them. `ends`: where the JSON of each ends. */
  with(items: readonly PastItem[], ends: readonly number[]): Marks {
    const used = this.count * fields
    const needed = used + items.length * fields
    let numbers = this.#numbers
    if (needed > numbers.length) {
      numbers = new Int32Array(needed + Math.max(spare, needed >> 3))
      numbers.set(this.#numbers.subarray(0, used))
    }
    let at = used
    for (const [i, { seq, position, tokens, counted }] of items.entries()) {
      numbers[at++] = seq
      numbers[at++] = place(position, counted)
      numbers[at++] = tokens
      numbers[at++] = ends[i] ?? 0
    }
    return new Marks(numbers, this.count + items.length)
  }

  /** The number of the first message of a turn, or of the next one that has any. */
  first(seq: number): number {
    let [low, high] = [0, this.count]
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#seq(middle) < seq) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Where the message before this one ends; -1: it is the first. */
  endBefore(n: number): number {
    return n === 0 ? -1 : (this.#numbers[n * fields - 1] ?? 0)
  }

  /** What the messages `from <= n < to` take. */
  sum(from: number, to: number): Size {
    let tokens = 0
    let counted = true
    for (let n = from; n < to; n++) {
      tokens += this.#numbers[n * fields + 2] ?? 0
      counted &&= this.#isCounted(n)
    }
    return { tokens, counted }
  }

  /** The same messages by turns, oldest first. */
  turns(from: number, to: number): PastTurn[] {
    const turns: { seq: number; sizes: Size[] }[] = []
    for (let n = from; n < to; n++) {
      const { seq, ...size } = this.item(n)
      const last = turns.at(-1)
      if (last?.seq === seq) last.sizes.push(size)
      else turns.push({ seq, sizes: [size] })
    }
    return turns
  }

  item(n: number): Omit<PastItem, 'json'> {
    const where = this.#numbers[n * fields + 1] ?? 0
    const tokens = this.#numbers[n * fields + 2] ?? 0
    return { seq: this.#seq(n), position: where >> 1, tokens, counted: (where & 1) === 1 }
  }

  /** A message is counted now, wherever these marks are shared. */
  keep(seq: number, position: number, tokens: number): void {
    for (let n = this.first(seq); n < this.count && this.#seq(n) === seq; n++) {
      if (this.item(n).position !== position) continue
      this.#numbers.set([place(position, true), tokens], n * fields + 1)
    }
  }

  #seq(n: number): number {
    return this.#numbers[n * fields] ?? 0
  }

  #isCounted(n: number): boolean {
    return ((this.#numbers[n * fields + 1] ?? 0) & 1) === 1
  }
}

const place = (position: number, counted: boolean): number => position * 2 + Number(counted)
