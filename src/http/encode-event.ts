import type { TurnEvent } from '../conversation/turn-event.ts'
import { type JsonAround, joined, jsonAround, textPieces } from './json-pieces.ts'

/** An event as it is written, in pieces one after the other: one text, unless it holds a very long answer. */
export type EventEncoder = (event: TurnEvent) => Iterable<string | Uint8Array>

/** A long text and its bytes. */
interface LongText {
  readonly text: string
  readonly bytes: readonly Uint8Array[]
}

/**
 * Writes events as in the HTML standard ("Server-sent events"). The followers of a turn share the bytes of a very long text, which the
 * last events of a turn all hold, as long as one of them is being written; to make a short one anew takes less than to keep it.
 */
export function eventEncoder(): EventEncoder {
  let lastLong: WeakRef<LongText> | undefined
  const encodeLong = (text: string): LongText => {
    const last = lastLong?.deref()
    if (last?.text === text) return last
    const long = { text, bytes: Array.from(textPieces(text), (piece) => Buffer.from(piece)) }
    lastLong = new WeakRef(long)
    return long
  }
  return (event) => {
    const head = `id: ${event.sequence_number}\nevent: ${event.type}\ndata: `
    const json = jsonAround(event)
    return json.texts.length > 0 ? longEvent(head, json, encodeLong) : [`${head}${json.around[0]}\n\n`]
  }
}

function* longEvent(
  head: string,
  json: JsonAround,
  encode: (text: string) => LongText,
): Generator<string | Uint8Array> {
  const held: LongText[] = [] // what is being written is not forgotten
  const piecesOf = (text: string) => {
    const long = encode(text)
    held.push(long)
    return long.bytes
  }
  yield head
  yield* joined(json, piecesOf)
  yield '\n\n'
}
