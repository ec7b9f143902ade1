/** Milliseconds: to connect, or wait for a free connection; for a statement, by the database's clock and then by ours. */
export const limits = { connect: 5_000, statement: 15_000, answer: 20_000, idle: 60_000 } as const

/** What holds on every connection from its beginning, and which server it is to. */
export const session = (durability: 'full' | 'normal'): string => `SELECT
  extract(epoch FROM pg_postmaster_start_time())::text AS server,
  set_config('statement_timeout', '${limits.statement}', false),
  set_config('idle_in_transaction_session_timeout', '${limits.answer}', false),
  set_config('synchronous_commit', ${
    durability === 'normal'
      ? "'off'"
      : "CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END"
  }, false)`
