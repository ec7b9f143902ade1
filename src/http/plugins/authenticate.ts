import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import { DaehwaError } from '../../conversation/errors.ts'
import type { App } from '../app-type.ts'

/** Everything belongs to this tenant while there is one key at most. */
const defaultTenant = 'default'

/**
 * Lets a request through when it bears the key, or when there is none to bear. A route is open without a key
 * only when it says `config: { public: true }`; one that nobody thought of is closed.
 */
export function authenticate(app: App, apiKey: string | undefined): void {
  const expected = apiKey === undefined ? undefined : digest(apiKey)
  app.decorateRequest('tenant', defaultTenant)
  app.addHook('onRequest', async (request) => {
    if (expected === undefined || request.routeOptions.config?.public === true) return
    const key = keyOf(request)
    if (key === undefined || !timingSafeEqual(digest(key), expected)) throw DaehwaError.of('invalid_api_key')
  })
}

/** `Authorization: Bearer` as in RFC 6750, or `x-api-key`. */
function keyOf({ headers }: FastifyRequest): string | undefined {
  const bearer = /^Bearer +(\S+) *$/i.exec(headers.authorization ?? '')?.[1]
  const plain = headers['x-api-key']
  return bearer ?? (typeof plain === 'string' ? plain : undefined)
}

const digest = (key: string): Buffer => createHash('sha256').update(key).digest()
