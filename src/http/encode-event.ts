import type { TurnEvent } from '../conversation/turn-event.ts'
import { type JsonAround, joined, jsonAround, textPieces } from './json-pieces.ts'

/** The bytes of an event, in pieces that are written one after the other; one piece, unless it holds a very long answer. */
export type EventEncoder = (event: TurnEvent) => Iterable<Uint8Array>

/** A long text and its bytes. */
interface LongText {
  readonly text: string
  readonly bytes: readonly Uint8Array[]
}

/**
 * Makes the bytes of events, as in the HTML standard ("Server-sent events"). The followers of a turn share them: those of
 * short events as long as the turn's events live, those of a very long text, which the last events of a turn all hold,
 * as long as one of them is being written.
 */
export function eventEncoder(): EventEncoder {
  const kept = new WeakMap<TurnEvent, readonly Uint8Array[]>()
  let lastLong: WeakRef<LongText> | undefined
  const encodeLong = (text: string): LongText => {
    const last = lastLong?.deref()
    if (last?.text === text) return last
    const long = { text, bytes: Array.from(textPieces(text), (piece) => Buffer.from(piece)) }
    lastLong = new WeakRef(long)
    return long
  }
  return (event) => {
    const known = kept.get(event)
    if (known !== undefined) return known
    const head = `id: ${event.sequence_number}\nevent: ${event.type}\ndata: `
    const json = jsonAround(event)
    if (json.texts.length > 0) return longEvent(head, json, encodeLong)
    const bytes = [Buffer.from(`${head}${json.around[0]}\n\n`)]
    kept.set(event, bytes)
    return bytes
  }
}

function* longEvent(
  head: string,
  json: JsonAround,
  encode: (text: string) => LongText,
): Generator<Uint8Array> {
  const held: LongText[] = [] // what is being written is not forgotten
  const piecesOf = (text: string) => {
    const long = encode(text)
    held.push(long)
    return long.bytes
  }
  yield Buffer.from(head)
  for (const piece of joined(json, piecesOf)) yield typeof piece === 'string' ? Buffer.from(piece) : piece
  yield Buffer.from('\n\n')
}
