import type { Dialect } from '../dialects.ts'

/**
 * What keys may use, and what was used. Days are those of UTC, since 1970-01-01.
 *
 * - A turn that has not ended holds `reserved` tokens of the budgets of its key; when it ends it holds none, whatever ended it.
 *   In one that was answered `reserved` says from then on what it was charged: the next one needs as much at least.
 * - `usage` is the ledger. Its rows are those of one client each, so that turns of different conversations write different
 *   ones; `key_days` has the sums that budgets are compared with.
 */
export const limitsAndUsage = ({ clustered, text }: Dialect): string[] => [
  `ALTER TABLE api_keys ADD COLUMN limits ${text}`,
  `ALTER TABLE turns ADD COLUMN key_id ${text}`,
  'ALTER TABLE turns ADD COLUMN reserved BIGINT NOT NULL DEFAULT 0',
  'ALTER TABLE turns ADD COLUMN charged BIGINT NOT NULL DEFAULT 0',
  `CREATE INDEX turns_of_key ON turns (key_id) WHERE status IN ('queued', 'in_progress') AND key_id IS NOT NULL`,
  `CREATE TABLE usage (
    tenant ${text} NOT NULL,
    client_name ${text} NOT NULL,
    day BIGINT NOT NULL,
    key_id ${text} NOT NULL,
    model ${text} NOT NULL,
    turns BIGINT NOT NULL,
    estimated_turns BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    PRIMARY KEY (tenant, client_name, day, key_id, model)
  ) ${clustered}`,
  `CREATE TABLE key_days (
    key_id ${text} NOT NULL,
    day BIGINT NOT NULL,
    tokens BIGINT NOT NULL,
    PRIMARY KEY (key_id, day)
  ) ${clustered}`,
]
