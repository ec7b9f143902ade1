import { DaehwaError } from '../../conversation/errors.ts'
import type { CountRequest } from '../../conversation/ports.ts'
import type { App } from '../app-type.ts'

/**
 * Refuses what a key asks beyond its requests a minute. Answers bear `RateLimit-Policy` and `RateLimit`, as in
 * draft-ietf-httpapi-ratelimit-headers.
 */
export function limitRequests(app: App, count: CountRequest): void {
  app.addHook('onRequest', async ({ caller }, reply) => {
    const limit = caller?.limits.requests_per_minute
    if (limit === undefined || caller.key === undefined) return
    const { used, resetMs } = await count(caller.key)
    const seconds = Math.ceil(resetMs / 1000)
    reply.header('ratelimit-policy', `"requests";q=${limit};w=60`)
    reply.header('ratelimit', `"requests";r=${Math.max(0, limit - used)};t=${seconds}`)
    if (used > limit)
      throw DaehwaError.of('rate_limited', { what: 'requests a minute', limit }).after(seconds)
  })
}
