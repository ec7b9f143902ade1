import { run, type Work } from './database.ts'
import { before } from './statuses.ts'

/** Deletes the turns of a conversation that have ended. Those in its history are found by their messages, which go after them. */
export function* dropEndedTurns(tenant: string, conversation: string): Work<void> {
  yield* run(
    `DELETE FROM turns WHERE tenant = ? AND id IN (SELECT turn_id FROM items WHERE tenant = ? AND conversation = ?)`,
    ...[tenant, tenant, conversation],
  )
  // The coalesce keeps SQLite from the index by tenant, which is every turn there is.
  yield* run(
    `DELETE FROM turns WHERE coalesce(tenant, '') = ? AND conversation = ? AND seq IS NULL
       AND status NOT IN (${before('cancel')})`,
    ...[tenant, conversation],
  )
}
