/** Who follows a turn at another instance than its owner's asks for what comes of it by this mark, a time by the database's clock. */
export const followedTurns = (): string[] => [
  'ALTER TABLE turns ADD COLUMN followed_until BIGINT NOT NULL DEFAULT 0',
]
