import type { Dialect } from '../dialects.ts'

/**
 * What an erased client left behind on Postgres: when a first message came while its client was being erased, its conversation
 * could go without its messages and without an end of what was running, which then had none. Those that an erasing ended
 * are kept for a day, as ever. On SQLite nothing comes between two statements.
 */
export const nothingWithoutAClient = ({ clustered }: Dialect): string[] =>
  clustered === ''
    ? [
        `DELETE FROM turns WHERE coalesce(error_code, '') <> 'history_deleted' AND ${alone('turns')}`,
        `DELETE FROM items WHERE ${alone('items')}`,
        `DELETE FROM compactions WHERE ${alone('compactions')}`,
      ]
    : []

const alone = (table: string): string =>
  `NOT EXISTS (SELECT 1 FROM conversations c WHERE c.tenant = ${table}.tenant AND c.id = ${table}.conversation)`
