import type { Dialect } from '../dialects.ts'

/**
 * What happened to turns and is not in their tables yet, as JSON: journal/journal.ts. A database that is shared by instances has
 * none, as each would know its own alone.
 */
export const journal = ({ clustered }: Dialect): string[] =>
  clustered === '' ? [] : ['CREATE TABLE journal (n INTEGER PRIMARY KEY, body TEXT NOT NULL)']
