import type { PastItem, Size } from '../conversation.ts'
import { mended } from './past-run.ts'

/** What a turn takes beside its text, and a conversation, in bytes. */
const perTurn = 448
const perPast = 512
/** So much room is left behind a text, as a share of it and at least, so that it is not moved for every turn that comes. */
const spare = { share: 1 / 8, least: 512 } as const

/** A message: its size, and where its JSON ends in the bytes of the past. */
interface RememberedItem {
  readonly position: number
  tokens: number
  counted: boolean
  readonly end: number
}

interface RememberedTurn {
  readonly seq: number
  readonly sizes: RememberedItem[]
}

/** The newest turns of one conversation, without a gap: those from `from` on. A history only grows, until its epoch ends. */
export interface Past {
  readonly epoch: number
  readonly from: number
  readonly next: number
  /** Oldest first, each at the place that is its `seq` less `from`. */
  readonly turns: readonly RememberedTurn[]
  /**
   * The JSON of all messages, joined by commas, in UTF-8: so many bytes of a buffer, behind which there is room. A past that
   * grows shares it with what it was before. What two write there at once is the same.
   */
  readonly buffer: Buffer
  readonly length: number
  /** Whether one of them is not sent as it is stored. */
  readonly isMended: boolean
  /** How large the run was that was sent last: the next one is that, and what has come since. */
  readonly sent: { readonly from: number; readonly next: number; readonly size: Size } | undefined
}

/** What is remembered of it takes so many bytes. */
export const sizeOf = ({ buffer, turns }: Past): number => buffer.length + perPast + turns.length * perTurn

export const turnsOf = ({ turns, from: first }: Pick<Past, 'turns' | 'from'>, from: number, to: number) =>
  turns.slice(from - first, Math.max(from, to) - first)

/** The messages from a turn on, as they go upstream. */
export const bytesOf = (past: Past, from: number): Buffer =>
  past.buffer.subarray(startOf(past, from), past.length)

/** Where the first message of a turn begins in the bytes. */
const startOf = ({ turns, from: first }: Pick<Past, 'turns' | 'from'>, from: number): number => {
  const end = turns[from - first - 1]?.sizes.at(-1)?.end
  return end === undefined ? 0 : end + 1
}

export function itemsOf(past: Pick<Past, 'turns' | 'buffer' | 'from'>, from: number, to: number): PastItem[] {
  let start = startOf(past, from)
  return turnsOf(past, from, to).flatMap(({ seq, sizes }) =>
    sizes.map(({ position, tokens, counted, end }) => {
      const json = past.buffer.toString('utf8', start, end)
      start = end + 1
      return { seq, position, tokens, counted, json }
    }),
  )
}

export function grown({ tokens, counted }: Size, turns: readonly RememberedTurn[]): Size {
  let sum = tokens
  let all = counted
  for (const { sizes } of turns) {
    for (const size of sizes) {
      sum += size.tokens
      all &&= size.counted
    }
  }
  return { tokens: sum, counted: all }
}

export function extended(past: Past, fresh: readonly PastItem[], next: number): Past {
  if (fresh.length === 0) return { ...past, next }
  const turns = [...past.turns]
  let end = past.length === 0 ? -1 : past.length
  let { isMended } = past
  let last: RememberedTurn | undefined
  for (const item of fresh) {
    end += Buffer.byteLength(item.json) + 1
    isMended ||= mended(item) !== item.json
    if (last?.seq !== item.seq) {
      last = { seq: item.seq, sizes: [] }
      turns.push(last)
    }
    const { position, tokens, counted } = item
    last.sizes.push({ position, tokens, counted, end })
  }
  const buffer = withRoom(past, end)
  const added = fresh.map(({ json }) => json).join()
  buffer.write(past.length === 0 ? added : `,${added}`, past.length)
  return { ...past, next, turns, isMended, buffer, length: end }
}

/** The buffer of a past, or a copy of it with room for so many bytes. */
function withRoom({ buffer, length }: Past, needed: number): Buffer {
  if (needed <= buffer.length) return buffer
  const larger = Buffer.allocUnsafeSlow(needed + Math.max(spare.least, Math.floor(needed * spare.share)))
  buffer.copy(larger, 0, 0, length)
  return larger
}

/** The newest turns of a past, as many as are no larger than `size`. */
export function newest(past: Past, size: number): Past {
  let from = past.from
  for (let left = sizeOf(past); left > size && from < past.next; from++)
    left -= perTurn + startOf(past, from + 1) - startOf(past, from)
  const empty = { ...nothing, epoch: past.epoch, from, next: from }
  return extended(empty, itemsOf(past, from, past.next), past.next)
}

export const nothing = {
  ...{ turns: [], buffer: Buffer.alloc(0), length: 0, isMended: false, sent: undefined },
} as const
