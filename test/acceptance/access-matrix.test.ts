import { beforeEach, expect, it } from 'vitest'
import { clientOf, type Reply } from '../support/client.ts'
import { startServer } from '../support/start-server.ts'
import { startTranscriptUpstream } from '../support/transcript-upstream.ts'

const operatorKey = 'operator-key-0123456789'
const nobody = 'daehwa_0123456789012345678901234567890123456789012'

/** What belongs to tenant a, by its ids; or ids of the same shape that nobody has. */
interface Things {
  readonly turn: string
  readonly item: string
  readonly key: string
}

interface Row {
  readonly path?: (things: Things) => string
  readonly body?: object
  /** `tenant`: everybody has their own; `id`: it belongs to one; `operator`: theirs alone; `public`: no key is asked for. */
  readonly kind: 'tenant' | 'id' | 'operator' | 'public'
}

const name = 'client_name=shared'

/** Every route. One that is missing here fails the test. */
const rows: Readonly<Record<string, Row>> = {
  'GET /healthz': { kind: 'public' },
  'GET /readyz': { kind: 'public' },
  'GET /metrics': { kind: 'operator' },
  'GET /models': { kind: 'tenant' },
  'GET /model': { kind: 'tenant', path: () => `/model?${name}` },
  'POST /model': { kind: 'tenant', body: { client_name: 'shared', model: 'transcript' } },
  'POST /query': { kind: 'tenant', body: { client_name: 'shared', input: 'hi' } },
  'GET /history': { kind: 'id', path: ({ turn }) => `/history?${name}&before=${turn}` },
  'DELETE /history': { kind: 'tenant', path: () => `/history?${name}` },
  'GET /turns/{id}': { kind: 'id', path: ({ turn }) => `/turns/${turn}` },
  'GET /turns/{id}/events': { kind: 'id', path: ({ turn }) => `/turns/${turn}/events?after=0` },
  'POST /turns/{id}/cancel': { kind: 'id', path: ({ turn }) => `/turns/${turn}/cancel` },
  'GET /clients': { kind: 'tenant' },
  'GET /clients/{name}': { kind: 'tenant', path: () => '/clients/shared' },
  'PATCH /clients/{name}': { kind: 'tenant', path: () => '/clients/shared', body: { temperature: 1 } },
  'DELETE /clients/{name}': { kind: 'tenant', path: () => '/clients/shared' },
  'GET /clients/{name}/export': { kind: 'tenant', path: () => '/clients/shared/export' },
  'POST /clients/{name}/import': { kind: 'tenant', path: () => '/clients/shared/import', body: {} },
  'GET /clients/{name}/context': { kind: 'tenant', path: () => '/clients/shared/context' },
  'POST /clients/{name}/compact': { kind: 'tenant', path: () => '/clients/shared/compact', body: {} },
  'POST /clients/{name}/items/{id}/pin': {
    kind: 'id',
    path: ({ item }) => `/clients/shared/items/${item}/pin`,
  },
  'DELETE /clients/{name}/items/{id}/pin': {
    kind: 'id',
    path: ({ item }) => `/clients/shared/items/${item}/pin`,
  },
  'GET /usage': { kind: 'tenant' },
  'GET /admin/usage': { kind: 'operator' },
  'GET /admin/backup': { kind: 'operator' },
  'GET /admin/export': { kind: 'operator' },
  'POST /admin/import': { kind: 'operator', body: {} },
  'GET /defaults': { kind: 'tenant' },
  'PATCH /defaults': { kind: 'tenant', body: { temperature: 1 } },
  'POST /admin/keys': { kind: 'operator', body: { tenant: 'a' } },
  'GET /admin/keys': { kind: 'operator' },
  'PATCH /admin/keys/{id}': {
    kind: 'operator',
    path: ({ key }) => `/admin/keys/${key}`,
    body: { turns_at_once: 1 },
  },
  'DELETE /admin/keys/{id}': { kind: 'operator', path: ({ key }) => `/admin/keys/${key}` },
}

const absent: Things = {
  turn: `resp_${'0'.repeat(32)}`,
  item: `msg_${'0'.repeat(32)}`,
  key: `key_${'0'.repeat(32)}`,
}

let url: string
let routes: string[]
let things: Things
const keys = { a: '', b: '', revoked: '', expired: '', bound: '' }

/** Asks with a request id that is always the same, so that answers can be compared byte for byte. */
const caller = (key?: string) =>
  clientOf(url, { 'x-request-id': 'same', ...(key !== undefined && { authorization: `Bearer ${key}` }) })

async function call(route: string, key: string | undefined, of: Things): Promise<Reply> {
  const [method = '', path = ''] = route.split(' ')
  const { path: made = () => path, body } = rows[route] ?? { kind: 'public' }
  return caller(key).send(method, made(of), body)
}

const seen = ({ status, text }: Reply) => `${status} ${text}`

beforeEach(async () => {
  const upstream = await startTranscriptUpstream()
  const server = await startServer({
    env: { OPENAI_BASE_URL: upstream.baseUrl, DAEHWA_API_KEY: operatorKey },
  })
  url = server.url
  const { paths } = (await caller().send('GET', '/openapi.json')).body as { paths: Record<string, object> }
  routes = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  )
  const operator = caller(operatorKey)
  const make = async (wish: object) => (await operator.send('POST', '/admin/keys', wish)).body
  keys.a = (await make({ tenant: 'a' })).key
  keys.b = (await make({ tenant: 'b' })).key
  keys.bound = (await make({ tenant: 'a', client_name: 'another' })).key
  keys.expired = (await make({ tenant: 'a', expires_at: new Date(Date.now() + 500).toISOString() })).key
  const revoked = await make({ tenant: 'a' })
  keys.revoked = revoked.key
  await operator.send('DELETE', `/admin/keys/${revoked.id}`)
  await caller(keys.a).query('shared', 'of a')
  await caller(keys.b).query('shared', 'of b')
  const [message] = (await caller(keys.a).history('shared')).body
  things = { turn: message.turn_id, item: message.id, key: revoked.id }
  await new Promise((resolve) => setTimeout(resolve, 600))
}, 30_000)

it('promise 32: every route has its row in the matrix', () => {
  expect(routes.length).toBeGreaterThan(20)
  expect(Object.keys(rows).toSorted()).toEqual(routes.toSorted())
})

it('promise 32: no route answers without a key that is good now, and all say the same', async () => {
  const expected = (await call('GET /models', undefined, absent)).text
  for (const route of routes) {
    if (rows[route]?.kind === 'public') {
      expect((await call(route, undefined, absent)).status, route).toBe(200)
      continue
    }
    for (const key of [undefined, 'wrong', nobody, keys.revoked, keys.expired, `${operatorKey}x`]) {
      const reply = await call(route, key, things)
      expect(seen(reply), `${route} with ${key}`).toBe(`401 ${expected}`)
    }
  }
})

it('promise 32: what belongs to another tenant is told from what is not there by nobody', async () => {
  const before = await caller(keys.a).history('shared')
  for (const route of routes) {
    if (rows[route]?.kind !== 'id') continue
    expect(seen(await call(route, keys.b, things)), route).toBe(seen(await call(route, keys.b, absent)))
    if (!route.includes('{name}') && route !== 'GET /history')
      expect(seen(await call(route, keys.bound, things)), route).toBe(
        seen(await call(route, keys.bound, absent)),
      )
  }
  expect((await caller(keys.a).history('shared')).text).toBe(before.text)
})

it('promise 32: what is the operator’s is nobody else’s', async () => {
  for (const route of routes) {
    if (rows[route]?.kind !== 'operator') continue
    for (const key of [keys.a, keys.bound]) {
      const reply = await call(route, key, things)
      expect([reply.status, reply.body.code], route).toEqual([403, 'forbidden'])
    }
    expect((await caller(operatorKey).send('GET', '/admin/keys')).status).toBe(200)
  }
})

it('promise 32: whatever another tenant does, nothing of one’s own is changed', async () => {
  const mine = async () => [
    (await caller(keys.a).history('shared')).text,
    (await caller(keys.a).send('GET', '/clients')).text,
    (await caller(keys.a).send('GET', '/defaults')).text,
    (await caller(keys.a).send('GET', '/clients/shared/context')).text,
  ]
  const before = await mine()
  for (const route of routes) if (rows[route]?.kind === 'tenant') await call(route, keys.b, things)
  expect(await mine()).toEqual(before)
})
