/** Numbers of tokens that JavaScript cannot hold are cut to the largest that it can: until now nothing kept them from being written. */
export const safeCounts = (): string[] => [
  `UPDATE conversations SET input_tokens = ${most} WHERE input_tokens > ${most}`,
  `UPDATE conversations SET output_tokens = ${most} WHERE output_tokens > ${most}`,
  `UPDATE turns SET usage_total = ${most} WHERE usage_total > ${most}`,
]

const most = Number.MAX_SAFE_INTEGER
