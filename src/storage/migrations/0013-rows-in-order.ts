import type { Dialect } from '../dialects.ts'

/**
 * On SQLite turns and items lie in the order in which they are written, and are found by their keys through an index. Sorted by
 * their keys each conversation had pages of its own, of which every turn wrote some anew, and a message of more than
 * some 1,000 bytes had pages of its own. On Postgres they have lain so from the start.
 */
export const rowsInOrder = ({ clustered }: Dialect): string[] =>
  clustered === '' ? [] : [...unsorted('turns', turns), ...unsorted('items', items)]

interface Table {
  readonly columns: string
  /** Those of the old one in the order of the new one. */
  readonly from?: string
  readonly indexes: readonly string[]
}

const unsorted = (table: string, { columns, from = '*', indexes }: Table): string[] => [
  `CREATE TABLE new_${table} (${columns})`,
  `INSERT INTO new_${table} SELECT ${from} FROM ${table}`,
  `DROP TABLE ${table}`,
  `ALTER TABLE new_${table} RENAME TO ${table}`,
  ...indexes,
]

const turns = {
  columns: `
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    conversation TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    place TEXT NOT NULL,
    seq BIGINT,
    status TEXT NOT NULL CHECK (status IN ('queued', 'in_progress', 'completed', 'incomplete', 'failed', 'cancelled')),
    model TEXT NOT NULL,
    served_model TEXT,
    instructions TEXT,
    input TEXT,
    input_tokens BIGINT NOT NULL,
    idempotency_key TEXT,
    fingerprint TEXT,
    error_code TEXT,
    error_message TEXT,
    output TEXT,
    pieces TEXT,
    incomplete TEXT,
    usage_input BIGINT,
    usage_output BIGINT,
    usage_total BIGINT,
    created_at BIGINT NOT NULL,
    deadline_at BIGINT,
    dispatched_at BIGINT,
    ended_at BIGINT,
    input_counted BIGINT NOT NULL DEFAULT 1,
    settings TEXT,
    reasoning TEXT,
    owner TEXT,
    cancel_requested BIGINT NOT NULL DEFAULT 0,
    followed_until BIGINT NOT NULL DEFAULT 0,
    key_id TEXT,
    reserved BIGINT NOT NULL DEFAULT 0,
    charged BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, id)`,
  indexes: [
    `CREATE INDEX turns_unended ON turns (tenant, conversation) WHERE status IN ('queued', 'in_progress')`,
    'CREATE UNIQUE INDEX turns_by_idempotency_key ON turns (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL',
    "CREATE INDEX turns_erased ON turns (tenant, ended_at) WHERE error_code = 'history_deleted'",
    `CREATE INDEX turns_by_owner ON turns (owner) WHERE status IN ('queued', 'in_progress')`,
    `CREATE INDEX turns_open ON turns (conversation) WHERE status IN ('queued', 'in_progress')`,
    `CREATE INDEX turns_of_key ON turns (key_id) WHERE status IN ('queued', 'in_progress') AND key_id IS NOT NULL`,
    'CREATE INDEX turns_outside_the_history ON turns (conversation) WHERE seq IS NULL',
  ],
}

const items = {
  columns: `
    tenant TEXT NOT NULL,
    conversation TEXT NOT NULL,
    seq BIGINT NOT NULL,
    position BIGINT NOT NULL,
    id TEXT NOT NULL,
    turn_id TEXT NOT NULL,
    type TEXT NOT NULL,
    role TEXT,
    tokens BIGINT NOT NULL,
    incomplete TEXT,
    created_at BIGINT NOT NULL,
    counted BIGINT NOT NULL DEFAULT 1,
    pinned BIGINT NOT NULL DEFAULT 0,
    body TEXT NOT NULL,
    PRIMARY KEY (tenant, conversation, seq, position)`,
  from: 'tenant, conversation, seq, position, id, turn_id, type, role, tokens, incomplete, created_at, counted, pinned, body',
  indexes: ['CREATE INDEX items_pinned ON items (tenant, conversation) WHERE pinned = 1'],
}
