import type { Dialect } from '../dialects.ts'

/** Keys of tenants, by the SHA-256 of their secrets. */
export const keys = ({ clustered, text }: Dialect): string[] => [
  `CREATE TABLE api_keys (
    id ${text} NOT NULL PRIMARY KEY,
    tenant ${text} NOT NULL,
    client_name ${text},
    digest ${text} NOT NULL,
    hint ${text} NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT
  ) ${clustered}`,
  'CREATE UNIQUE INDEX api_keys_by_digest ON api_keys (digest)',
]
