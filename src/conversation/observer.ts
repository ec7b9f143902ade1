import { codeOf, type ErrorCode } from './errors.ts'
import type { Finish } from './ports.ts'
import type { TurnRecord } from './turn.ts'

/**
 * Where everything tells what is to be measured and traced. It never waits and never throws. What is handed to it are
 * words of this program and of its configuration, ids, and models: neither keys, nor names of clients, nor what people said.
 */
export interface Observer {
  /** A request has come. */
  request(request: SeenRequest): RequestSpan
  /** A turn that is kept goes its way here. */
  turn(id: string, of: Span | undefined): TurnSpan
  /** A step of that way, or of the request that began it; undefined where nothing is traced. */
  part(name: 'accept' | 'queue' | 'commit', of: Span | undefined): Part | undefined
  /** An upstream is asked, once. `address` is its base URL. */
  ask(upstream: string, address: string, model: string, of: Span | undefined): AskSpan
  /** An upstream failed, and is asked again; or the next model is asked in its place. */
  again(how: 'retry' | 'fallback', upstream: string): void
  /** A compaction has ended; `code` says of what it failed. */
  compacted(code?: ErrorCode): void
  /** What was written has taken so many milliseconds, until it was kept or refused. */
  committed(ms: number, kept: boolean): void
}

/** Something that takes time, and that has parts. */
export interface Span {
  /** The header (W3C "Trace Context") that makes what others do a part of it; undefined where nothing is traced. */
  readonly traceparent: string | undefined
}

export interface Part extends Span {
  /** `code` says of what it failed. */
  end(code?: ErrorCode): void
}

export interface SeenRequest {
  readonly method: string
  /** The template of its route; undefined where there is none. */
  readonly route: string | undefined
  /** As the caller sent it, if they did. */
  readonly traceparent: string | undefined
  /** Whether it is worth a trace: what machines ask every few seconds is not. */
  readonly traced: boolean
}

export interface RequestSpan extends Span {
  /** The whole answer is sent; without a status, its connection was closed before that. So long it took. */
  answered(seconds: number, status?: number): void
}

export interface TurnSpan extends Part {
  /** It has waited, and is begun. */
  claimed(): void
  /** The first piece of its answer is here. */
  begun(): void
  /** It has ended here, as the record says. Where that is not told, it ends or goes on elsewhere. */
  ended(record: TurnRecord): void
}

export interface AskSpan extends Part {
  /** The first piece of its answer is here. */
  begun(): void
  /** Its answer has come to its end. */
  finished(finish: Finish): void
}

/** Ends a part when what it does is done. */
export const during = <T>(part: Part | undefined, done: Promise<T>): Promise<T> =>
  part === undefined ? done : ending(part, done)

async function ending<T>(part: Part, done: Promise<T>): Promise<T> {
  try {
    const value = await done
    part.end()
    return value
  } catch (error) {
    part.end(codeOf(error))
    throw error
  }
}
