import type { ApiKey } from '../../conversation/access/key-store.ts'
import type { Keys } from '../../conversation/access/keys.ts'
import type { KeyLimits } from '../../conversation/access/limits.ts'
import { invalid } from '../../conversation/errors.ts'
import { checkText } from '../../conversation/text.ts'
import type { App } from '../app-type.ts'
import { createKeySchema, limitKeySchema, listKeysSchema, revokeKeySchema } from '../schemas/keys.ts'

/** Keys are made, seen and taken back by the operator alone. */
export function keyRoutes(app: App, { keys }: { keys: Keys }): void {
  const config = { operator: true, whileStopping: true }

  app.post('/admin/keys', { schema: createKeySchema, config }, async ({ body }, reply) => {
    const { tenant, client_name: client, expires_at: expires, ...wished } = body
    const expiresAt = expires === undefined ? undefined : timeOf(expires)
    const wish = { tenant, client, expiresAt, limits: merged({}, wished) }
    const { key, secret } = await keys.create(wish)
    return reply
      .code(201)
      .header('cache-control', 'no-store')
      .send({ ...toJson(key), key: secret })
  })

  app.get('/admin/keys', { schema: listKeysSchema, config }, async ({ query }) => {
    if (query.tenant !== undefined) checkText(query.tenant)
    return { keys: (await keys.list(query.tenant)).map(toJson) }
  })

  app.patch('/admin/keys/:id', { schema: limitKeySchema, config }, async ({ params, body }) => {
    checkText(params.id)
    return toJson(await keys.limit(params.id, (known) => merged(known, body)))
  })

  app.delete('/admin/keys/:id', { schema: revokeKeySchema, config }, async ({ params }) => {
    checkText(params.id)
    return toJson(await keys.revoke(params.id))
  })
}

type LimitsPatch = { readonly [name in keyof KeyLimits]: number | null | undefined }

/** As a JSON Merge Patch (RFC 7396). */
function merged(limits: KeyLimits, patch: LimitsPatch): KeyLimits {
  const all = Object.entries({ ...limits, ...patch })
  return Object.fromEntries(all.filter(([, value]) => value !== null && value !== undefined))
}

/** With its zone: without one it would be a time of the machine that the server runs on. */
const rfc3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/i

function timeOf(text: string): number {
  const at = rfc3339.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isFinite(at)) return at
  throw invalid("'expires_at' must be a time as in RFC 3339: 2030-01-31T12:00:00Z")
}

const shown = (at: number | undefined): string | null =>
  at === undefined ? null : new Date(at).toISOString()

const toJson = ({ id, tenant, client, hint, createdAt, expiresAt, revokedAt, limits }: ApiKey) => ({
  ...{ id, tenant, client_name: client ?? null, begins_with: hint },
  ...{
    created_at: new Date(createdAt).toISOString(),
    expires_at: shown(expiresAt),
    revoked_at: shown(revokedAt),
    limits,
  },
})
