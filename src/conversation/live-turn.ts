import { type Followable, textAfter } from './follow-turn.ts'
import type { TurnSpan } from './observer.ts'
import type { Piece } from './ports.ts'
import { Readers } from './readers.ts'
import { TextCleaner } from './text.ts'
import { isEnded, type TurnRecord } from './turn.ts'
import { type TurnEvent, TurnEvents } from './turn-event.ts'

/** The largest answer that is kept, in bytes of UTF-8. What comes after it is not read. */
const maxAnswerBytes = 8 * 1024 * 1024

/**
 * A turn while it runs here: what has come of its answer, and its events for any number of followers, who keep
 * nothing but their place in them.
 */
export class LiveTurn implements Followable {
  /** Where it tells how it goes. */
  readonly span: TurnSpan
  /** These are made when somebody follows, and where there are thoughts. */
  #events: TurnEvents | undefined
  #readers: Readers | undefined
  #thoughts: TextCleaner | undefined
  readonly #cleaner = new TextCleaner()
  readonly #texts: string[] = []
  readonly #lengths: number[] = []
  readonly #ended = Promise.withResolvers<TurnRecord>()
  #record: TurnRecord
  #bytes = 0
  #reasoning = ''

  constructor(record: TurnRecord, span: TurnSpan) {
    this.span = span
    this.#record = record
  }

  get record(): TurnRecord {
    return this.#record
  }

  /** Resolves with the record when the turn has ended. */
  get ended(): Promise<TurnRecord> {
    return this.#ended.promise
  }

  /** The answer as it is at this moment, the lengths of its pieces, and what was thought aloud. */
  get output(): { text: string; pieces: number[]; reasoning: string } {
    return { text: this.#texts.join(''), pieces: [...this.#lengths], reasoning: this.#reasoning }
  }

  /** The first `most` UTF-16 units of all that has come, or a little more, and how long that all is. */
  beginning(most: number): { text: string; length: number } {
    let text = this.#reasoning.slice(0, most)
    for (const piece of this.#texts) {
      if (text.length >= most) break
      text += piece
    }
    return { text, length: this.#reasoning.length + this.#lengths.reduce((sum, length) => sum + length, 0) }
  }

  /** In how many pieces it has come so far. */
  get pieces(): number {
    return this.#lengths.length
  }

  /** Whether anything has come: from then on no other model may be asked. */
  get begun(): boolean {
    return this.#lengths.length > 0 || this.#reasoning !== ''
  }

  start(at: number): void {
    this.#record = { ...this.#record, status: 'in_progress', startedAt: at }
    this.#events?.start(this.#record)
    this.#readers?.wake()
  }

  /** Takes a piece of either; false when no more is wanted. */
  hear({ type, text }: Piece): boolean {
    return type === 'reasoning' ? this.think(text) : this.add(text)
  }

  /** Takes a piece of what the model thinks aloud before it answers; false when all that came has grown over 8 MiB. */
  think(raw: string): boolean {
    this.span.begun()
    if (this.#lengths.length > 0) return true // the events of a turn have told by then what was thought
    this.#thoughts ??= new TextCleaner()
    const text = this.#thoughts.push(raw)
    this.#bytes += Buffer.byteLength(text)
    if (this.#bytes <= maxAnswerBytes) this.#reasoning += text
    return this.#bytes <= maxAnswerBytes
  }

  /** Takes a piece of the answer, cleaned; false when the answer has grown over 8 MiB and was cut. */
  add(raw: string): boolean {
    if (this.#lengths.length === 0) this.span.begun()
    const text = this.#cleaner.push(raw)
    const room = maxAnswerBytes - this.#bytes
    this.#bytes += Buffer.byteLength(text)
    this.#keep(this.#bytes <= maxAnswerBytes ? text : firstBytes(text, room))
    return this.#bytes <= maxAnswerBytes
  }

  /** No more comes: what was held back for want of its other half is let go, unless the answer was cut. */
  finish(): void {
    if (this.#bytes <= maxAnswerBytes) this.#keep(this.#cleaner.end())
  }

  /** It ran elsewhere, and this is all that came of it. */
  tell(record: TurnRecord): void {
    if (record.startedAt !== undefined) this.start(record.startedAt)
    const events = this.#told()
    let at = 0
    for (const length of record.pieces) {
      events.piece(record.text.slice(at, at + length), record.reasoning)
      at += length
    }
    this.leave(record)
  }

  /** It has ended here. */
  end(record: TurnRecord): void {
    this.span.ended(record)
    this.leave(record)
  }

  /** It is over for its followers here: it has ended elsewhere, or goes on there. */
  leave(record: TurnRecord): void {
    this.#record = record
    if (isEnded(record.status)) this.#events?.end(record)
    this.#ended.resolve(record)
    this.#readers?.wake()
  }

  /** The events after the number `after` (-1 for all), and on until the last. Ends early when `signal` aborts. */
  follow(after: number, signal: AbortSignal): AsyncGenerator<readonly TurnEvent[], void, undefined> {
    this.#readers ??= new Readers()
    return this.#readers.read(this.#told().list, after, () => isEnded(this.#record.status), signal)
  }

  async erased(): Promise<boolean> {
    return this.#record.error?.code === 'history_deleted'
  }

  behind(after: number): number {
    return textAfter(this.#told().list, after)
  }

  /** Its events so far: most turns are followed by nobody. */
  #told(): TurnEvents {
    if (this.#events !== undefined) return this.#events
    const events = new TurnEvents(this.#record)
    if (this.#record.startedAt !== undefined) events.start(this.#record)
    for (const text of this.#texts) events.piece(text, this.#reasoning)
    if (isEnded(this.#record.status)) events.end(this.#record)
    this.#events = events
    return events
  }

  #keep(text: string): void {
    if (text === '') return
    this.#texts.push(text)
    this.#lengths.push(text.length)
    this.#events?.piece(text, this.#reasoning)
    this.#readers?.wake()
  }
}

/** As many whole characters as fit into `count` bytes. */
function firstBytes(text: string, count: number): string {
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(count))
  return text.slice(0, read)
}
