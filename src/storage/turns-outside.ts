import { run, type Work } from './database.ts'
import { before } from './statuses.ts'

/** The turns of a conversation that are not in its history. The coalesce keeps SQLite from the index by tenant, which is every turn there is. */
const outside = `coalesce(tenant, '') = ? AND conversation = ? AND seq IS NULL`

/** Deletes the turns of a conversation that have ended. Those in its history are found by their messages, which go after them. */
export function* dropEndedTurns(tenant: string, conversation: string): Work<void> {
  yield* run(
    `DELETE FROM turns WHERE tenant = ? AND id IN (SELECT turn_id FROM items WHERE tenant = ? AND conversation = ?)`,
    ...[tenant, tenant, conversation],
  )
  yield* run(
    `DELETE FROM turns WHERE ${outside} AND status NOT IN (${before('cancel')})`,
    ...[tenant, conversation],
  )
}

/** Another conversation takes the turns of one that has no history. */
export function* handOverTurns(tenant: string, from: string, to: string): Work<void> {
  yield* run(`UPDATE turns SET conversation = ? WHERE ${outside}`, to, tenant, from)
}
