import type { FastifyReply, FastifyRequest } from 'fastify'

/** What browsers are told with every answer: to take it for nothing else, and to show it in no other page. */
export const browserHeaders = {
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'x-frame-options': 'DENY',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'", // the page at /docs has its own
} as const

/** What a page of another origin may read of an answer besides its body. */
const exposed = [
  ...['x-request-id', 'retry-after', 'idempotency-replayed', 'location', 'x-should-retry'],
  ...['ratelimit', 'ratelimit-policy'],
].join(', ')

/**
 * Puts these headers on an answer, and for a page of one of the `origins` those by which its browser lets it read. It
 * is done before anything can go wrong, so that errors and streams have them too.
 */
export function tellBrowsers(
  origins: ReadonlySet<string>,
): (request: FastifyRequest, reply: FastifyReply) => void {
  const shown = origins.size > 0 ? { ...browserHeaders, vary: 'Origin' } : browserHeaders
  const own = { ...shown, 'cache-control': 'no-store' }
  return ({ headers: { origin }, routeOptions }, reply) => {
    reply.headers(routeOptions.config?.public === true ? shown : own)
    if (origin === undefined || !origins.has(origin)) return
    reply.header('access-control-allow-origin', origin).header('access-control-expose-headers', exposed)
  }
}
