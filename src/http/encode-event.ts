import type { TurnEvent } from '../conversation/turn-event.ts'
import { joined, jsonAround, textPieces } from './json-pieces.ts'

/** What goes out in one write, and the number of the last event in it. */
interface Written {
  readonly bytes: Uint8Array
  readonly number: number
}

export type EventEncoder = (events: readonly TurnEvent[]) => Iterable<Written>

/** What goes out in one write of short events: up to the next number that can be divided by so many, and about so many UTF-16 units. */
const atOnce = { events: 32, length: 65_536 } as const

/** Short events that stand together. */
interface Together extends Written {
  readonly first: TurnEvent
  readonly count: number
  /** Whether no more can come to stand with them. */
  readonly full: boolean
}

/** A long text and its bytes. */
interface LongText {
  readonly text: string
  readonly bytes: readonly Uint8Array[]
}

/**
 * Writes events as in the HTML standard ("Server-sent events"): short ones together, one with a very long text in pieces. The followers
 * of a turn share the bytes: of short events, where as many as go out at once stand together, as long as the turn's events live, so that many who come late
 * make no copies; of fewer while all are told of them; of a very long text, which the last events of a turn all hold, as long as one
 * of them is being written.
 */
export function eventEncoder(): EventEncoder {
  let lastLong: WeakRef<LongText> | undefined
  let lastShort: WeakRef<Together> | undefined
  const kept = new WeakMap<TurnEvent, Together>()
  const encodeLong = (text: string): LongText => {
    const last = lastLong?.deref()
    if (last?.text === text) return last
    const long = { text, bytes: Array.from(textPieces(text), (piece) => Buffer.from(piece)) }
    lastLong = new WeakRef(long)
    return long
  }
  const shortFrom = (events: readonly TurnEvent[], at: number, first: TurnEvent): Together | undefined => {
    const last = lastShort?.deref()
    const known = kept.get(first) ?? (last?.first === first ? last : undefined)
    if (known !== undefined && at + known.count <= events.length) return known
    const short = together(events, at, first)
    if (short?.full === true) kept.set(first, short)
    else if (short !== undefined) lastShort = new WeakRef(short)
    return short
  }
  return function* (events) {
    let at = 0
    for (let event = events[at]; event !== undefined; event = events[at]) {
      const short = shortFrom(events, at, event)
      if (short !== undefined) yield short
      else yield* longEvent(event, encodeLong)
      at += short?.count ?? 1
    }
  }
}

/** As many short events from a place on as go out together; undefined where a long one stands there. */
function together(events: readonly TurnEvent[], from: number, first: TurnEvent): Together | undefined {
  let text = ''
  let last: TurnEvent | undefined
  let at = from
  const end = from + atOnce.events - (first.sequence_number % atOnce.events)
  const isOver = () => at === end || text.length >= atOnce.length
  for (let event = events[at]; event !== undefined && !isOver(); event = events[++at]) {
    const { around, texts } = jsonAround(event)
    if (texts.length > 0) break
    text += `${headOf(event)}${around[0]}\n\n`
    last = event
  }
  if (last === undefined) return undefined
  return {
    bytes: Buffer.from(text),
    number: last.sequence_number,
    first,
    count: at - from,
    full: isOver() || at < events.length,
  }
}

const headOf = ({ sequence_number, type }: TurnEvent): string =>
  `id: ${sequence_number}\nevent: ${type}\ndata: `

function* longEvent(event: TurnEvent, encode: (text: string) => LongText): Generator<Written> {
  const number = event.sequence_number
  const held: LongText[] = [] // what is being written is not forgotten
  const piecesOf = (text: string) => {
    const long = encode(text)
    held.push(long)
    return long.bytes
  }
  yield { bytes: Buffer.from(headOf(event)), number }
  for (const piece of joined<Uint8Array>(jsonAround(event), piecesOf))
    yield { bytes: typeof piece === 'string' ? Buffer.from(piece) : piece, number }
  yield { bytes: Buffer.from('\n\n'), number }
}
