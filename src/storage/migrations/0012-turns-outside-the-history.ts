/**
 * Turns that are in the history are found by their messages; only the others need an index of their own. An index of all was
 * one page more to write for each conversation that was spoken in.
 */
export const turnsOutsideTheHistory = (): string[] => [
  'DROP INDEX turns_by_conversation',
  'CREATE INDEX turns_outside_the_history ON turns (conversation) WHERE seq IS NULL',
]
