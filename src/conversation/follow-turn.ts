import { DaehwaError, type ErrorCode } from './errors.ts'
import { isEnded, type TurnRecord } from './turn.ts'
import { eventsOf, type TurnEvent } from './turn-event.ts'

/** A turn to read from, whether it runs or has ended. */
export interface Followable {
  readonly record: TurnRecord
  /** Resolves when it has ended. */
  readonly ended: Promise<TurnRecord>
  /** The events after the number `after` (-1 for all), in order, until the last one or until `signal` aborts. */
  follow(after: number, signal: AbortSignal): AsyncGenerator<readonly TurnEvent[], void, undefined>
  /** Whether the history was cleared since: what is still to be told of it must not be told any more. */
  erased(): Promise<boolean>
  /** How much text, in UTF-16 units, is in the events after the number `after`. */
  behind(after: number): number
}

/** Ends of which the pieces that had come are not kept: whoever had more of them is told of the end all the same. */
const forgotten: ReadonlySet<ErrorCode> = new Set(['server_restarted', 'history_deleted', 'turn_retried'])

/** A turn that has ended, from its record. */
export function endedTurn(record: TurnRecord, stillThere: () => Promise<boolean>): Followable {
  let made: readonly TurnEvent[] | undefined
  const all = () => (made ??= eventsOf(record))
  return {
    record,
    ended: Promise.resolve(record),
    async *follow(after) {
      const events = all()
      const fresh = events.slice(after + 1)
      if (fresh.length > 0) yield fresh
      else if (record.error !== undefined && forgotten.has(record.error.code)) {
        yield events.slice(-1).map((last) => ({ ...last, sequence_number: after + 1 }))
      }
    },
    erased: async () => !(await stillThere()),
    behind: (after) => textAfter(all(), after),
  }
}

/** How much text is in the events after the number `after`, the ends that hold all of it once more included. */
export const textAfter = (events: readonly TurnEvent[], after: number): number =>
  events.slice(after + 1).reduce((sum, { delta = '', text = '' }) => sum + delta.length + text.length, 0)

/** The record of a turn that has its answer. @throws DaehwaError why it has none */
export function answered(record: TurnRecord): TurnRecord {
  if (record.error !== undefined) throw DaehwaError.restore(record.error)
  if (!isEnded(record.status)) throw DaehwaError.of('storage_unavailable').after(1) // its end is not written yet
  return record
}

/**
 * Tells one reader that they are told no more, though the turn goes on ("The error event"). It bears the number of the last
 * event that they have, so that they go on from there elsewhere.
 */
export const errorEvent = (
  { code, message }: { code: string; message: string },
  last: number,
): TurnEvent => ({
  type: 'error',
  sequence_number: last,
  error: { type: 'server_error', code, message, param: null },
})
