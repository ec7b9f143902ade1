import type { QueryResult } from 'pg'
import { codeOf } from '../conversation/errors.ts'
import type { Query, Work } from './database.ts'

/** Whoever changes the schema holds this advisory lock: "daeh", in ASCII. */
const schemaLock = 0x64616568

/** How transactions begin. One round trip each: they are sent as one simple query. */
export const begin = {
  write: 'BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_current_xact_id()::text AS xid',
  alter: `BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock(${schemaLock})`,
  read: 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY',
} as const

/** Sends a query over one connection; it need not wait for the answers to those before it. */
export type Send = (query: Query | string) => Promise<QueryResult>

/** A COMMIT was sent and not answered. Whether the transaction `xid` counts, only the database knows. */
export class InDoubt extends Error {
  override readonly name = 'InDoubt'
  readonly xid: string
  /** What the work came to. */
  readonly value: unknown

  constructor(xid: string, value: unknown, cause: unknown) {
    super('a transaction in doubt', { cause })
    this.xid = xid
    this.value = value
  }
}

/**
 * Runs work between `start`, whose last row may name the transaction (`xid`), and COMMIT. Only what the work reads is
 * waited for: with the last of its statements COMMIT is on its way too.
 *
 * @throws InDoubt, where `start` names the transaction
 */
export async function transact<T>(send: Send, start: string, work: () => Work<T>): Promise<T> {
  const begun = heard(send(start))
  const sent = [begun]
  let doubt: { xid: string; value: T } | undefined
  try {
    const value = await stepThrough(work(), send, sent)
    const xid = xidOf(await begun)
    if (xid !== undefined) doubt = { xid, value }
    sent.push(heard(send('COMMIT')))
    await Promise.all(sent)
    return value
  } catch (error) {
    const cause = await firstFailure(sent, error)
    const lost = codeOf(cause) === 'storage_unavailable'
    if (!lost) await send('ROLLBACK').catch(() => {}) // the next one to send learns of it
    throw lost && doubt !== undefined ? new InDoubt(doubt.xid, doubt.value, cause) : cause
  }
}

async function stepThrough<T>(work: Work<T>, send: Send, sent: Promise<unknown>[]): Promise<T> {
  let step = work.next([])
  while (!step.done) {
    const answer = send(step.value)
    if (step.value.unread) {
      sent.push(heard(answer))
      step = work.next([])
    } else step = work.next((await answer).rows)
  }
  return step.value
}

/** Of what was sent together, the first that failed says why; those behind it only that it did. */
async function firstFailure(sent: readonly Promise<unknown>[], otherwise: unknown): Promise<unknown> {
  for (const answer of sent) {
    try {
      await answer
    } catch (error) {
      return error
    }
  }
  return otherwise
}

/** A promise that may fail before anybody waits for it. */
function heard<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {})
  return promise
}

/** The answer to several statements that were sent as one is a list. */
function xidOf(begun: QueryResult | readonly QueryResult[]): string | undefined {
  const row = (Array.isArray(begun) ? begun.at(-1) : begun).rows[0] as { xid?: string } | undefined
  return row?.xid
}
