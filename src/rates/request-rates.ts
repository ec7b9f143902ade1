import type { Redis } from 'ioredis'
import { RateLimiterMemory, RateLimiterRedis, type RateLimiterRes } from 'rate-limiter-flexible'
import type { CountRequest } from '../conversation/ports.ts'

/** Counting goes on beyond every limit: whose limit is what is not known here. */
const window = { keyPrefix: 'daehwa:rate', points: Number.MAX_SAFE_INTEGER, duration: 60 }

/**
 * Counts requests by the minute: in Redis, for all instances together, or in this process where there is none, and as long
 * as it does not answer.
 */
export function requestRates(redis: Redis | undefined): CountRequest {
  const memory = new RateLimiterMemory(window)
  const limiter =
    redis === undefined
      ? memory
      : new RateLimiterRedis({
          ...window,
          storeClient: redis,
          rejectIfRedisNotReady: true,
          insuranceLimiter: memory,
        })
  return async (key) => {
    const { consumedPoints, msBeforeNext }: RateLimiterRes = await limiter.consume(key)
    return { used: consumedPoints, resetMs: msBeforeNext }
  }
}
