import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import Fastify from 'fastify'
import { type Config, parseConfig } from '../config/config.ts'
import { readEnv, readFile } from '../config/env.ts'
import { Keys } from '../conversation/access/keys.ts'
import { type Catalog, pricesOf } from '../conversation/model-catalog.ts'
import { handleError } from '../http/error-handler.ts'
import { acceptJsonBodies } from '../http/plugins/json-body.ts'
import { keyRoutes } from '../http/routes/keys.ts'
import { usageRoutes } from '../http/routes/usage.ts'
import { validatorCompiler } from '../http/validation.ts'
import { openStorage } from '../storage/open-storage.ts'

/** Asks for something that the operator may do, and answers what came of it. @throws AdminError */
type Ask = (method: 'GET' | 'POST' | 'PATCH' | 'DELETE', path: string, body?: object) => Promise<unknown>

/** What went wrong, in one line for the operator. */
export class AdminError extends Error {
  override readonly name = 'AdminError'
}

/**
 * Does something with the routes of the operator: those of the running server, at DAEHWA_URL or else on this machine; where
 * none runs and none is named, the same routes over the data that the settings name.
 */
export async function asOperator<T>(work: (ask: Ask) => Promise<T>): Promise<T> {
  const config = parseConfig(readEnv(), readFile)
  const base = await runningServer(config)
  if (base !== undefined) return work((...asked) => overHttp(base, config.apiKey, ...asked))
  return onData(config, work)
}

/** The address of the server that the settings name, or of the one on this machine, if one runs here. @throws AdminError */
export async function runningServer(config: Config): Promise<string | undefined> {
  const base = config.url ?? `http://127.0.0.1:${config.port}`
  if (await answers(base)) return base
  if (config.url === undefined) return undefined
  throw new AdminError(`no Daehwa answers at ${base}. Start it, or correct DAEHWA_URL`)
}

/** Asks a running server for a stream of bytes. @throws AdminError */
export async function download(
  base: string,
  { apiKey }: Config,
  path: string,
): Promise<AsyncIterable<Uint8Array>> {
  const reply = await fetch(base + path, { headers: withKey(apiKey) })
  if (reply.ok && reply.body !== null) return reply.body
  answerOf(reply.status, await reply.text())
  throw new AdminError(`the server at ${base} sent nothing`)
}

const withKey = (key: string | undefined): Record<string, string> =>
  key === undefined ? {} : { authorization: `Bearer ${key}` }

const answers = (base: string): Promise<boolean> =>
  fetch(`${base}/healthz`, { signal: AbortSignal.timeout(5_000) }).then(
    (reply) => reply.ok,
    () => false,
  )

async function overHttp(
  base: string,
  key: string | undefined,
  ...[method, path, body]: Parameters<Ask>
): Promise<unknown> {
  const reply = await fetch(base + path, {
    method,
    headers: {
      ...withKey(key),
      ...(body && { 'content-type': 'application/json' }),
    },
    ...(body && { body: JSON.stringify(body) }),
  })
  return answerOf(reply.status, await reply.text())
}

async function onData<T>(config: Config, work: (ask: Ask) => Promise<T>): Promise<T> {
  const { databaseUrl: url, dataDir: dir, durability } = config
  await using storage = await openStorage({ url, dir, durability, now: Date.now() })
  const app = Fastify().withTypeProvider<TypeBoxTypeProvider>()
  app.setErrorHandler(handleError)
  app.setValidatorCompiler(validatorCompiler())
  acceptJsonBodies(app)
  const { store } = storage
  keyRoutes(app, { keys: new Keys({ store, now: Date.now, clock: () => performance.now() }) })
  usageRoutes(app, { store, models: pricesIn(config), now: Date.now })
  return await work(async (method, url, body) => {
    const reply = await app.inject({ method, url, ...(body && { payload: body }) })
    return answerOf(reply.statusCode, reply.body)
  })
}

function pricesIn({ upstreams: [first, ...others], aliases, contextWindow: otherWindow }: Config) {
  if (first === undefined) return { prices: () => undefined }
  const catalog: Catalog = { upstreams: [first, ...others], aliases, otherWindow }
  return { prices: (name: string) => pricesOf(catalog, name) }
}

function answerOf(status: number, text: string): unknown {
  const value: unknown = text === '' ? undefined : JSON.parse(text)
  if (status < 400) return value
  const error =
    typeof value === 'object' && value !== null && 'error' in value ? value.error : `status ${status}`
  const hint = status === 401 ? ' The command takes it from DAEHWA_API_KEY.' : ''
  throw new AdminError(`${String(error)}${hint}`)
}
