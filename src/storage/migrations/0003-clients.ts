import type { Dialect } from '../dialects.ts'

/**
 * Settings of clients, of single turns, and of a tenant's clients by default, as JSON; and contexts that are more than the
 * newest turns.
 *
 * - Turns before `compacted_to` are covered by the conversation's one compaction. Whoever makes the next one holds it
 *   until `compacting_until`. `pins` grows with every change of what is pinned: 0 means that nothing ever was.
 * - `served_by` tells which model of which fallback chain answered last. `input_tokens` and `output_tokens` are sums over
 *   what is in the history.
 */
export const clients = ({ clustered, text }: Dialect): string[] => [
  `ALTER TABLE conversations ADD COLUMN settings ${text}`,
  `ALTER TABLE conversations ADD COLUMN served_by ${text}`,
  'ALTER TABLE conversations ADD COLUMN input_tokens BIGINT NOT NULL DEFAULT 0',
  'ALTER TABLE conversations ADD COLUMN output_tokens BIGINT NOT NULL DEFAULT 0',
  'ALTER TABLE conversations ADD COLUMN pins BIGINT NOT NULL DEFAULT 0',
  'ALTER TABLE conversations ADD COLUMN compacted_to BIGINT NOT NULL DEFAULT 0',
  'ALTER TABLE conversations ADD COLUMN compacting_until BIGINT',
  `ALTER TABLE conversations ADD COLUMN compaction_error ${text}`,
  `ALTER TABLE turns ADD COLUMN settings ${text}`,
  `ALTER TABLE turns ADD COLUMN reasoning ${text}`,
  'ALTER TABLE items ADD COLUMN pinned BIGINT NOT NULL DEFAULT 0',
  `UPDATE conversations SET
    input_tokens = (SELECT coalesce(sum(usage_input), 0) FROM turns
      WHERE turns.tenant = conversations.tenant AND turns.conversation = conversations.id),
    output_tokens = (SELECT coalesce(sum(usage_output), 0) FROM turns
      WHERE turns.tenant = conversations.tenant AND turns.conversation = conversations.id)`,
  'CREATE INDEX conversations_by_activity ON conversations (tenant, updated_at, client_name)',
  'CREATE INDEX items_pinned ON items (tenant, conversation) WHERE pinned = 1',
  `CREATE TABLE compactions (
    tenant ${text} NOT NULL,
    conversation ${text} NOT NULL,
    id ${text} NOT NULL,
    from_seq BIGINT NOT NULL,
    to_seq BIGINT NOT NULL,
    model ${text} NOT NULL,
    tokens BIGINT NOT NULL,
    counted BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    body ${text} NOT NULL,
    PRIMARY KEY (tenant, conversation)
  ) ${clustered}`,
  `CREATE TABLE tenants (
    tenant ${text} NOT NULL PRIMARY KEY,
    settings ${text} NOT NULL,
    updated_at BIGINT NOT NULL
  ) ${clustered}`,
]
