/** Finds turns that an erasing ended, so that they are not kept for ever. */
export const erasedTurns = (): string[] => [
  "CREATE INDEX turns_erased ON turns (tenant, ended_at) WHERE error_code = 'history_deleted'",
]
