import type { Dialect } from '../dialects.ts'

/**
 * What has no conversation any more, on Postgres: when a first message came while its client was being erased, or taken over by
 * an import, its conversation could go without it. Turns that an erasing ended are kept for a day, as ever. On SQLite
 * nothing comes between two statements.
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
