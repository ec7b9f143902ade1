import type { TurnEvent } from '../conversation/turn-event.ts'
import { jsonPieces } from './json-pieces.ts'

/** The bytes of an event, in pieces that are written one after the other; one piece, unless it holds a very long answer. */
export type EventEncoder = (event: TurnEvent) => Iterable<Uint8Array>

/**
 * Makes the bytes of events, as in the HTML standard ("Server-sent events"). The followers of a turn share those of
 * short ones, for as long as the turn's events live; of long ones each has no more than the piece that is written.
 */
export function eventEncoder(): EventEncoder {
  const kept = new WeakMap<TurnEvent, readonly Uint8Array[]>()
  return (event) => {
    const known = kept.get(event)
    if (known !== undefined) return known
    const head = `id: ${event.sequence_number}\nevent: ${event.type}\ndata: `
    const data = jsonPieces(event)
    if (typeof data !== 'string') return longEvent(head, data)
    const bytes = [Buffer.from(`${head}${data}\n\n`)]
    kept.set(event, bytes)
    return bytes
  }
}

function* longEvent(head: string, data: Iterable<string>): Generator<Uint8Array> {
  yield Buffer.from(head)
  for (const piece of data) yield Buffer.from(piece)
  yield Buffer.from('\n\n')
}
