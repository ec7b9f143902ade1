import type { Dialect } from '../dialects.ts'

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
export const conversations = ({ clustered, text }: Dialect): string[] => [
  `CREATE TABLE conversations (
    tenant ${text} NOT NULL,
    id ${text} NOT NULL,
    client_name ${text},
    model ${text},
    epoch BIGINT NOT NULL DEFAULT 0,
    fence BIGINT NOT NULL DEFAULT 0,
    active_turn ${text},
    lease_owner ${text},
    lease_until BIGINT,
    first_seq BIGINT NOT NULL DEFAULT 0,
    next_seq BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
  ) ${clustered}`,
  'CREATE UNIQUE INDEX conversations_by_client ON conversations (tenant, client_name)',
  `CREATE TABLE turns (
    tenant ${text} NOT NULL,
    id ${text} NOT NULL,
    conversation ${text} NOT NULL,
    epoch BIGINT NOT NULL,
    place ${text} NOT NULL,
    seq BIGINT,
    status ${text} NOT NULL CHECK (status IN ('queued', 'in_progress', 'completed', 'incomplete', 'failed', 'cancelled')),
    model ${text} NOT NULL,
    served_model ${text},
    instructions ${text},
    input ${text},
    input_tokens BIGINT NOT NULL,
    idempotency_key ${text},
    fingerprint ${text},
    error_code ${text},
    error_message ${text},
    output ${text},
    pieces ${text},
    incomplete ${text},
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
    tenant ${text} NOT NULL,
    conversation ${text} NOT NULL,
    seq BIGINT NOT NULL,
    position BIGINT NOT NULL,
    id ${text} NOT NULL,
    turn_id ${text} NOT NULL,
    type ${text} NOT NULL,
    role ${text},
    tokens BIGINT NOT NULL,
    incomplete ${text},
    created_at BIGINT NOT NULL,
    body ${text} NOT NULL,
    PRIMARY KEY (tenant, conversation, seq, position)
  ) ${clustered}`,
]
