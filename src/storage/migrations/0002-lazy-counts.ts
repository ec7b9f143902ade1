/** Where `counted` is 0, `tokens` is not the number of tokens yet but one that is no smaller. */
export const lazyCounts = (): string[] => [
  'ALTER TABLE items ADD COLUMN counted BIGINT NOT NULL DEFAULT 1',
  'ALTER TABLE turns ADD COLUMN input_counted BIGINT NOT NULL DEFAULT 1',
]
