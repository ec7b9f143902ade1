import type { Dialect } from '../dialects.ts'

/**
 * Any number of instances over one database. Who is not in `instances` with a lease that is not over is dead, whatever it
 * may think: an unended turn of such an `owner` is anybody's.
 *
 * `places` counts what a conversation was asked: turns wait in the order in which it accepted them, whatever
 * the clocks of the instances say.
 */
export const instances = ({ clustered, text }: Dialect): string[] => [
  `CREATE TABLE instances (
    id ${text} NOT NULL PRIMARY KEY,
    lease_until BIGINT NOT NULL
  ) ${clustered}`,
  'ALTER TABLE conversations ADD COLUMN places BIGINT NOT NULL DEFAULT 0',
  `ALTER TABLE turns ADD COLUMN owner ${text}`,
  'ALTER TABLE turns ADD COLUMN cancel_requested BIGINT NOT NULL DEFAULT 0',
  `CREATE INDEX turns_by_owner ON turns (owner) WHERE status IN ('queued', 'in_progress')`,
  // The coalesce in accept-turn.ts keeps SQLite from the index by tenant, which is every turn there is.
  `CREATE INDEX turns_open ON turns (conversation) WHERE status IN ('queued', 'in_progress')`,
]
