/** Who follows a turn at another instance than its owner's asks for what comes of it by this mark. */
export const followedTurns = (): string[] => [
  'ALTER TABLE turns ADD COLUMN followed BIGINT NOT NULL DEFAULT 0',
]
