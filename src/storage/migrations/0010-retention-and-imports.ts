import type { Dialect } from '../dialects.ts'

/**
 * `retention_days`: after how long without activity a client is erased, where it has its own word on that.
 *
 * `import_of`: a conversation that is being imported, and the client that it is for; it has no name until it is whole.
 */
export const retentionAndImports = ({ text }: Dialect): string[] => [
  'ALTER TABLE conversations ADD COLUMN retention_days BIGINT',
  `ALTER TABLE conversations ADD COLUMN import_of ${text}`,
  `CREATE INDEX conversations_by_retention ON conversations (tenant, updated_at) WHERE retention_days IS NOT NULL`,
  `CREATE INDEX conversations_importing ON conversations (tenant, import_of) WHERE import_of IS NOT NULL`,
]
