import type { ServerResponse } from 'node:http'
import type { FastifyRequest } from 'fastify'
import { type Caller, operator } from '../../conversation/access/caller.ts'
import { isKeyShaped, type Keys, sameSecretAs } from '../../conversation/access/keys.ts'
import { DaehwaError } from '../../conversation/errors.ts'
import type { App } from '../app-type.ts'
import type { Over } from './requests-over.ts'

/** How often it is looked whether those who are connected may still be. Milliseconds. */
const lookAgain = 2_000

export interface Access {
  readonly keys: Keys
  /** The operator's own key. */
  readonly operatorKey: string | undefined
  /** Whether a caller without a key is the operator: on one's own machine, where no key was set. */
  readonly keyless: boolean
}

/**
 * Finds out who calls. A route is open without a key only when it says `config: { public: true }`; one that nobody thought
 * of is closed. When a key is revoked or expires, whatever is open with it is closed.
 */
export function authenticate(app: App, access: Access, over: Set<Over>): void {
  const callerOf = callers(access)
  const connected: Connected = new Map()
  app.decorateRequest('caller')
  app.addHook('onRequest', async (request, reply) => {
    const { config } = request.routeOptions
    if (config?.public === true) return
    const caller = await callerOf(request)
    if (config?.operator === true && !caller.isOperator) throw forbidden('It takes the key of the operator')
    if (config?.wholeTenant === true && caller.client !== undefined)
      throw forbidden('It is for one client alone: use a key of the whole tenant')
    request.caller = caller
    if (caller.key !== undefined) remember(connected, caller.key, reply.raw)
  })
  over.add(({ caller }, { raw }) => {
    if (caller?.key !== undefined) forget(connected, caller.key, raw)
  })
  const timer = setInterval(() => void closeUnusable(access.keys, connected), lookAgain)
  app.addHook('onClose', async () => clearInterval(timer))
}

const forbidden = (what: string): DaehwaError => DaehwaError.of('forbidden', { what })

/** Tells who calls. What it answers rejects with a DaehwaError `invalid_api_key`. */
function callers({ keys, operatorKey, keyless }: Access): (request: FastifyRequest) => Promise<Caller> {
  const isOperatorKey = operatorKey === undefined ? () => false : sameSecretAs(operatorKey)
  return async (request) => {
    const secret = secretOf(request)
    if (secret !== undefined && isOperatorKey(secret)) return operator
    const key = secret === undefined ? undefined : await keys.find(secret)
    if (key !== undefined)
      return { tenant: key.tenant, client: key.client, key: key.id, limits: key.limits, isOperator: false }
    // Clients of OpenAI's API send some key always; what looks like one of ours is meant.
    const nameless = secret === undefined || !isKeyShaped(secret)
    if (keyless && nameless && !isForwarded(request)) return operator
    throw DaehwaError.of('invalid_api_key')
  }
}

/** Whoever comes through a proxy is not on this machine. */
const isForwarded = ({ headers }: FastifyRequest): boolean =>
  headers['x-forwarded-for'] !== undefined || headers.forwarded !== undefined

/** What is being answered, by the key that asked for it. */
type Connected = Map<string, Set<ServerResponse>>

function remember(connected: Connected, key: string, response: ServerResponse): void {
  if (response.destroyed) return // they hung up while their key was looked for
  const all = connected.get(key) ?? new Set()
  connected.set(key, all.add(response))
}

function forget(connected: Connected, key: string, response: ServerResponse): void {
  const all = connected.get(key)
  all?.delete(response)
  if (all?.size === 0) connected.delete(key)
}

async function closeUnusable(
  keys: Keys,
  connected: ReadonlyMap<string, ReadonlySet<ServerResponse>>,
): Promise<void> {
  if (connected.size === 0) return
  const gone = await keys.unusable([...connected.keys()]).catch(() => []) // while the storage fails, nothing is known
  for (const id of gone) {
    for (const response of connected.get(id) ?? []) response.destroy()
  }
}

/** `Authorization: Bearer` as in RFC 6750, or `x-api-key`. */
function secretOf({ headers }: FastifyRequest): string | undefined {
  const bearer = /^Bearer +(\S+) *$/i.exec(headers.authorization ?? '')?.[1]
  const plain = headers['x-api-key']
  return bearer ?? (typeof plain === 'string' ? plain : undefined)
}
