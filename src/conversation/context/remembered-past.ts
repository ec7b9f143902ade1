import type { PastItem, PastRun, PastTurn, Size } from '../conversation.ts'
import { Marks } from './marks.ts'
import { mended, runOf } from './past-run.ts'

/** What a conversation takes beside its text and its marks, in bytes. */
const perPast = 768
/** So much room is left behind a text, as a share of it and at least, so that it is not moved for every turn that comes. */
const spare = { share: 1 / 8, least: 512 } as const

/** The newest turns of one conversation, without a gap: those from `from` on. A history only grows, until its epoch ends. */
export interface Past {
  readonly epoch: number
  readonly from: number
  readonly next: number
  readonly marks: Marks
  /**
   * The JSON of all messages, joined by commas, in UTF-8, up to where the last mark says: behind that there is room. A past that
   * grows shares it with what it was before. What two write there at once is the same.
   */
  readonly buffer: Buffer
  /** Whether one of them is not sent as it is stored. */
  readonly isMended: boolean
}

/** What is remembered of it takes so many bytes. */
export const sizeOf = ({ buffer, marks }: Past): number => buffer.length + marks.size + perPast

/** The sizes of the turns `from <= seq < to`, oldest first. */
export const turnsOf = ({ marks }: Past, from: number, to: number): PastTurn[] =>
  marks.turns(marks.first(from), marks.first(to))

/** What the turns `from <= seq < to` take. */
export const sizeBetween = ({ marks }: Past, from: number, to: number): Size =>
  marks.sum(marks.first(from), marks.first(to))

/** Its messages from a turn on. */
export function runFrom(past: Past, from: number): PastRun {
  const items = () => itemsOf(past, from, past.next)
  if (past.isMended) return runOf(items())
  const { buffer, marks } = past
  const json = buffer.subarray(marks.endBefore(marks.first(from)) + 1, Math.max(0, marks.end))
  const { tokens, counted } = sizeBetween(past, from, past.next)
  return { json, tokens, counted, items }
}

export function itemsOf({ buffer, marks }: Past, from: number, to: number): PastItem[] {
  const items: PastItem[] = []
  for (let n = marks.first(from); n < marks.first(to); n++) {
    const json = buffer.toString('utf8', marks.endBefore(n) + 1, marks.endBefore(n + 1))
    items.push({ ...marks.item(n), json })
  }
  return items
}

export function extended(past: Past, fresh: readonly PastItem[], next: number): Past {
  if (fresh.length === 0) return { ...past, next }
  const start = past.marks.end
  let end = start
  const ends = fresh.map(({ json }) => (end += Buffer.byteLength(json) + 1))
  const buffer = withRoom(past, end)
  const added = fresh.map(({ json }) => json).join()
  buffer.write(start < 0 ? added : `,${added}`, Math.max(0, start))
  const isMended = past.isMended || fresh.some((item) => mended(item) !== item.json)
  return { ...past, next, marks: past.marks.with(fresh, ends), isMended, buffer }
}

/** The buffer of a past, or a copy of it with room for so many bytes. */
function withRoom({ buffer, marks }: Past, needed: number): Buffer {
  if (needed <= buffer.length) return buffer
  const larger = Buffer.allocUnsafeSlow(needed + Math.max(spare.least, Math.floor(needed * spare.share)))
  buffer.copy(larger, 0, 0, Math.max(0, marks.end))
  return larger
}

/** The newest turns of a past, as many as are no larger than `size`. */
export function newest(past: Past, size: number): Past {
  const { marks, from: first, next } = past
  const most = Math.max(0, marks.end) - size
  let from = first
  for (let n = 0; n < marks.count && marks.endBefore(n) < most; n++) from = marks.item(n).seq + 1
  return extended({ ...nothing, epoch: past.epoch, from, next: from }, itemsOf(past, from, next), next)
}

export const nothing = { marks: Marks.none, buffer: Buffer.alloc(0), isMended: false } as const
