import type { Dialect } from '../database.ts'

/**
 * Conversations, their turns and their items. The tenant leads every key. Times are Unix milliseconds.
 *
 * - A conversation counts its finished turns by `next_seq`; those before `first_seq` were erased. `epoch` grows
 *   with every erasing and `fence` with every claim: a commit must know both.
 * - Turns wait in the order of `place`: the id that was made when the turn took its place, which for one that is tried
 *   again is not its own.
 * - A turn holds its input until it ends; then a finished one has its messages in `items`, any other has none, and
 *   what had come of its answer in `output`. `pieces` are the lengths in which the answer came.
 * - An item is stored as the fragment of JSON that goes upstream, beside its size in tokens. It comes last in its
 *   row, so that sizes are read without it.
 */
export const conversations = ({ clustered }: Dialect): string[] => [
  `CREATE TABLE conversations (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    client_name TEXT,
    model TEXT,
    epoch BIGINT NOT NULL DEFAULT 0,
    fence BIGINT NOT NULL DEFAULT 0,
    active_turn TEXT,
    lease_owner TEXT,
    lease_until BIGINT,
    first_seq BIGINT NOT NULL DEFAULT 0,
    next_seq BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
  ) ${clustered}`,
  'CREATE UNIQUE INDEX conversations_by_client ON conversations (tenant, client_name)',
  `CREATE TABLE turns (
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
    PRIMARY KEY (tenant, id)
  ) ${clustered}`,
  'CREATE INDEX turns_by_conversation ON turns (tenant, conversation)',
  `CREATE INDEX turns_unended ON turns (tenant, conversation) WHERE status IN ('queued', 'in_progress')`,
  `CREATE UNIQUE INDEX turns_by_idempotency_key ON turns (tenant, idempotency_key)
    WHERE idempotency_key IS NOT NULL`,
  `CREATE TABLE items (
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
    body TEXT NOT NULL,
    PRIMARY KEY (tenant, conversation, seq, position)
  ) ${clustered}`,
]
