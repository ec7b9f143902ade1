import { existsSync } from 'node:fs'
import { Readable } from 'node:stream'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import Fastify from 'fastify'
import { type Config, parseConfig } from '../config/config.ts'
import { readEnv, readFile } from '../config/env.ts'
import { Keys } from '../conversation/access/keys.ts'
import { type Catalog, pricesOf } from '../conversation/model-catalog.ts'
import { handleError } from '../http/error-handler.ts'
import { acceptJsonBodies } from '../http/plugins/json-body.ts'
import { adminArchiveRoutes } from '../http/routes/archive.ts'
import { keyRoutes } from '../http/routes/keys.ts'
import { usageRoutes } from '../http/routes/usage.ts'
import { archiveType } from '../http/schemas/archive.ts'
import { validatorCompiler } from '../http/validation.ts'
import { OpenError } from '../storage/database.ts'
import { openStorage } from '../storage/open-storage.ts'
import { pathIn } from '../storage/sqlite-file.ts'

/** Asks for something that the operator may do, and answers what came of it. @throws AdminError */
export type Ask = (
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE',
  path: string,
  body?: object | Pieces,
) => Promise<unknown>

/** Asks for what comes in pieces, however much it is. @throws AdminError */
type Download = (path: string) => Promise<Pieces>

type Pieces = AsyncIterable<Uint8Array>

/** What went wrong, in one line for the operator. */
export class AdminError extends Error {
  override readonly name = 'AdminError'
  /** With which the server refused, if it did. */
  readonly status: number | undefined

  constructor(message: string, status?: number) {
    super(message)
    this.status = status
  }
}

/**
 * Does something with the routes of the operator: those of the running server, at DAEHWA_URL or else on this machine; where
 * none runs and none is named, the same routes over the data that the settings name.
 */
export async function asOperator<T>(work: (ask: Ask, download: Download) => Promise<T>): Promise<T> {
  const config = parseConfig(readEnv(), readFile)
  const base = await runningServer(config)
  if (base !== undefined)
    return work(
      (...asked) => overHttp(base, config.apiKey, ...asked),
      (path) => download(base, config, path),
    )
  return onData(config, work)
}

/** The address of the server that the settings name, or of the one on this machine, if one runs here. @throws AdminError */
export async function runningServer(config: Config): Promise<string | undefined> {
  const base = addressOf(config)
  if (await answers(base)) return base
  if (config.url !== undefined)
    throw new AdminError(`no Daehwa answers at ${base}. Start it, or correct DAEHWA_URL`)
  const { databaseUrl, dataDir } = config
  if (databaseUrl === undefined && !existsSync(pathIn(dataDir)))
    throw new AdminError(
      `no Daehwa answers at ${base}, and there is no data in ${dataDir}. Start it, or set PORT or DAEHWA_URL to where it is, or DATA_DIR to its data (daehwa migrate makes a new one)`,
    )
  process.stderr.write(
    `No Daehwa answers at ${base}: this is about the ${databaseUrl === undefined ? `data in ${dataDir}` : 'database in DATABASE_URL'}\n`,
  )
  return undefined
}

const addressOf = ({ url, port }: Config): string => url ?? `http://127.0.0.1:${port}`

/** Asks a running server for what comes in pieces. @throws AdminError */
export async function download(base: string, { apiKey }: Config, path: string): Promise<Pieces> {
  const reply = await fetch(base + path, { headers: withKey(apiKey) }).catch(brokenOff)
  if (reply.ok && reply.body !== null) return whole(reply.body)
  answerOf(reply.status, await reply.text())
  throw new AdminError(`the server at ${base} sent nothing`)
}

async function* whole(pieces: Pieces): Pieces & AsyncGenerator<Uint8Array> {
  try {
    yield* pieces
  } catch (error) {
    brokenOff(error)
  }
}

/** What fetch throws says no more than that something did. */
function brokenOff(error: unknown): never {
  if (error instanceof TypeError) throw new AdminError('the connection to the server broke off. Try again')
  throw error
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
  const init: RequestInit = { method, headers: { ...withKey(key), ...typeOf(body) } }
  if (isPieces(body)) Object.assign(init, { body, duplex: 'half' })
  else if (body !== undefined) init.body = JSON.stringify(body)
  const reply = await fetch(base + path, init).catch(brokenOff)
  return answerOf(reply.status, await reply.text())
}

const isPieces = (body: object | Pieces | undefined): body is Pieces =>
  body !== undefined && Symbol.asyncIterator in body

const typeOf = (body: object | Pieces | undefined): Record<string, string> =>
  body === undefined ? {} : { 'content-type': isPieces(body) ? archiveType : 'application/json' }

async function onData<T>(config: Config, work: (ask: Ask, download: Download) => Promise<T>): Promise<T> {
  const { databaseUrl: url, dataDir: dir, durability } = config
  await using storage = await openStorage({ url, dir, durability, now: Date.now() }).catch((error) => {
    if (!(error instanceof OpenError) || !error.inUse) throw error
    throw new AdminError(
      `a server uses the data in ${dir}, and none answers at ${addressOf(config)}. Set PORT or DAEHWA_URL to where it is`,
    )
  })
  const app = Fastify().withTypeProvider<TypeBoxTypeProvider>()
  app.setErrorHandler(handleError)
  app.setValidatorCompiler(validatorCompiler())
  acceptJsonBodies(app)
  const { store } = storage
  keyRoutes(app, { keys: new Keys({ store, now: Date.now, clock: () => performance.now() }) })
  usageRoutes(app, { store, models: pricesIn(config), now: Date.now })
  adminArchiveRoutes(app, { store, now: Date.now })
  return await work(
    async (method, url, body) => {
      const payload = isPieces(body) ? Readable.from(body, { objectMode: false }) : body
      const reply = await app.inject({ method, url, headers: typeOf(body), ...(payload && { payload }) })
      return answerOf(reply.statusCode, reply.body)
    },
    async (url) => {
      const reply = await app.inject({ method: 'GET', url, payloadAsStream: true })
      if (reply.statusCode < 400) return reply.stream()
      const text = Buffer.concat(await Array.fromAsync(reply.stream()))
      answerOf(reply.statusCode, text.toString())
      throw new AdminError('nothing came')
    },
  )
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
  throw new AdminError(`${String(error)}${hint}`, status)
}
