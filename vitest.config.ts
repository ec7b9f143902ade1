import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 20_000,
    hookTimeout: 20_000,
    // Tests start real processes; two at a time keep a machine of two cores honest about time-outs.
    maxWorkers: 2,
  },
})
