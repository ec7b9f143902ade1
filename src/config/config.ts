import { checkModel, type NamedFile, parseConfigFile } from './config-file.ts'
import { type Edges, edgesOf, isLoopback } from './edges.ts'
import { type TracesConfig, tracesOf } from './traces.ts'
import { openAi, type Timeouts, type UpstreamConfig, upstreamsOf } from './upstreams.ts'
import { ConfigError, type Env, oneOf, secret, text, url, whole } from './values.ts'

/** Everything that can be set, checked. Times are milliseconds, sizes tokens. */
export interface Config {
  readonly port: number
  readonly host: string
  /** The address under which others reach this server; undefined: as each request says. */
  readonly publicUrl: string | undefined
  readonly edges: Edges
  /** The server that commands speak to; undefined: the one on this machine, if it runs. */
  readonly url: string | undefined
  /** The first is that of models whose name says none. Empty: nothing is set, and the demo model answers. */
  readonly upstreams: readonly UpstreamConfig[]
  /** Names for models, each with those that it stands for: the next one when one does not answer. */
  readonly aliases: ReadonlyMap<string, readonly string[]>
  readonly defaultModel: string | undefined
  /** What summarises long conversations; undefined: the conversation's own model. */
  readonly summaryModel: string | undefined
  readonly contextWindow: number
  /** The address of a Postgres database, with its password; undefined: SQLite, in `dataDir`. */
  readonly databaseUrl: string | undefined
  /** The address of a Redis, with its password. */
  readonly redisUrl: string | undefined
  /** Whether a start brings the schema of the database up to date, or is refused when it is not. */
  readonly migrate: 'auto' | 'off'
  readonly dataDir: string
  readonly durability: 'full' | 'normal'
  /** The operator's own key. */
  readonly apiKey: string | undefined
  /** Whether a caller without a key is the operator: on one's own machine, where no key was set. */
  readonly keyless: boolean
  /** After how many days without activity clients are erased that have no word of their own on it; undefined: never. */
  readonly retentionDays: number | undefined
  readonly turnTimeout: number
  /** How long an instance is believed to live after its last sign of life. */
  readonly lease: number
  /** How many turns may wait in one conversation. */
  readonly maxWaiting: number
  readonly maxTurns: number
  /** Of upstreams that have none of their own. */
  readonly timeouts: Timeouts
  readonly logLevel: LogLevel
  /** Where traces go; undefined: nowhere. */
  readonly traces: TracesConfig | undefined
}

/** The content of a file; undefined where there is none. */
type ReadFile = (path: string) => string | undefined

/** What clients of api.openai.com have that have chosen no model: a cheap one with a large window. */
const openAiModel = 'gpt-4.1-mini'
const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
type LogLevel = (typeof logLevels)[number]
const maxTime = 2 ** 31 - 1

/** @throws ConfigError for the first setting that is wrong, or that is none of ours */
export function parseConfig(from: Env, readFile: ReadFile = () => undefined): Config {
  const known = new Set<string>()
  const env = new Proxy(from, { get: (values, name: string) => values[known.add(name) && name] })
  const config = readConfig(env, readFile)
  for (const [name, value] of Object.entries(from)) {
    if (!isOurs(name) || known.has(name) || isServiceLink(name, value)) continue
    throw new ConfigError(`${name} is no setting. There are ${[...known].filter(isOurs).join(', ')}`)
  }
  return config
}

const prefix = 'DAEHWA_'

const isOurs = (name: string): boolean => name.startsWith(prefix)

/** What Kubernetes tells every pod of a service that is called daehwa ("Discovering services"). */
function isServiceLink(name: string, value = ''): boolean {
  const rest = name.slice(prefix.length)
  return /^(SERVICE_(HOST|PORT)|PORT_\d+_)/.test(rest) || (rest === 'PORT' && /^\w+:\/\//.test(value))
}

function readConfig(env: Env, readFile: ReadFile): Config {
  const host = text(env, 'HOST') ?? '127.0.0.1'
  const apiKey = secret(env, 'DAEHWA_API_KEY')
  const timeouts: Timeouts = Object.freeze({
    connect: whole(env, 'DAEHWA_CONNECT_TIMEOUT_MS', 5_000, 1, maxTime),
    firstToken: whole(env, 'DAEHWA_FIRST_TOKEN_TIMEOUT_MS', 60_000, 1, maxTime),
    idle: whole(env, 'DAEHWA_IDLE_TIMEOUT_MS', 60_000, 1, maxTime),
  })
  const file = configFile(env, readFile)
  const upstreams = upstreamsOf(env, file, timeouts)
  const publicUrl = url(env, 'DAEHWA_PUBLIC_URL', 'https://chat.example.com')
  return Object.freeze({
    port: whole(env, 'PORT', 10_000, 0, 65_535),
    host,
    publicUrl,
    edges: edgesOf(env, host, publicUrl),
    url: url(env, 'DAEHWA_URL', 'https://chat.example.com'),
    upstreams,
    aliases: new Map(Object.entries(file?.aliases ?? {}).map(([name, chain]) => [name, [chain].flat()])),
    defaultModel: model(env, file, 'DAEHWA_DEFAULT_MODEL', 'default_model') ?? ownDefault(upstreams[0]),
    summaryModel: model(env, file, 'DAEHWA_SUMMARY_MODEL', 'summary_model'),
    contextWindow: whole(env, 'DAEHWA_CONTEXT_WINDOW', 8_192, 256, 100_000_000),
    databaseUrl: databaseUrl(env),
    redisUrl: redisUrl(env),
    migrate: oneOf(env, 'DAEHWA_MIGRATE', ['auto', 'off'], 'auto'),
    dataDir: text(env, 'DATA_DIR') ?? './data',
    durability: oneOf(env, 'DAEHWA_DURABILITY', ['full', 'normal'], 'full'),
    apiKey,
    keyless: apiKey === undefined && isLoopback(host),
    retentionDays: whole(env, 'DAEHWA_RETENTION_DAYS', undefined, 1, 36_500),
    turnTimeout: whole(env, 'DAEHWA_TURN_TIMEOUT_MS', 300_000, 1, maxTime),
    lease: whole(env, 'DAEHWA_LEASE_MS', 30_000, 1_000, maxTime),
    maxWaiting: whole(env, 'DAEHWA_MAX_WAITING', 64, 0, 1_000_000),
    maxTurns: whole(env, 'DAEHWA_MAX_TURNS', 2_000, 1, 1_000_000),
    timeouts,
    logLevel: oneOf(env, 'DAEHWA_LOG_LEVEL', logLevels, 'info'),
    traces: tracesOf(env),
  })
}

function configFile(env: Env, readFile: ReadFile): NamedFile | undefined {
  const named = text(env, 'DAEHWA_CONFIG')
  const path = named ?? 'daehwa.config.json'
  const content = readFile(path)
  if (content !== undefined) return parseConfigFile(path, content)
  if (named === undefined) return undefined
  throw new ConfigError(`DAEHWA_CONFIG=${named} is not there. Correct the path, or leave DAEHWA_CONFIG out`)
}

/** A model that is set in the environment or in the file. */
function model(
  env: Env,
  file: NamedFile | undefined,
  name: string,
  field: 'default_model' | 'summary_model',
): string | undefined {
  const value = text(env, name)
  if (value === undefined || file === undefined) return value ?? file?.[field]
  if (file[field] !== undefined) {
    throw new ConfigError(`${name} is set, and so is ${field} in ${file.path}. Leave one of them out`)
  }
  checkModel(file, name, value)
  return value
}

const ownDefault = (first: UpstreamConfig | undefined): string | undefined =>
  first?.baseUrl === openAi ? first.prefix + openAiModel : undefined

/** Its value is never repeated in a message: it may hold a password. */
function redisUrl(env: Env): string | undefined {
  const value = text(env, 'REDIS_URL')
  if (value === undefined) return undefined
  const example = 'redis://host:6379, or with TLS rediss://user:password@host:6379'
  if (!isRedisAddress(value)) {
    throw new ConfigError(
      `REDIS_URL must be an address as ${example}. Percent-encode what is special in its password: "/" is %2F, "@" is %40, "%" is %25`,
    )
  }
  if (text(env, 'DATABASE_URL') !== undefined) return value
  throw new ConfigError(
    'REDIS_URL is for several instances, and those need one Postgres. Set DATABASE_URL too, or leave REDIS_URL out',
  )
}

function isRedisAddress(value: string): boolean {
  const url = /^rediss?:\/\/[^/]/.test(value) ? URL.parse(value) : null
  if (url === null || url.hostname === '' || url.search + url.hash !== '') return false
  try {
    decodeURIComponent(url.username + url.password)
  } catch {
    return false
  }
  return /^(\/\d{0,3})?$/.test(url.pathname)
}

/** Its value is never repeated in a message: it may hold a password. */
function databaseUrl(env: Env): string | undefined {
  const value = text(env, 'DATABASE_URL')
  if (value === undefined) return undefined
  const example = 'postgres://user:password@host:5432/daehwa'
  if (!/^postgres(ql)?:\/\//.test(value)) {
    throw new ConfigError(`DATABASE_URL must begin with postgres:// or postgresql://, as in ${example}`)
  }
  const url = URL.parse(value)
  // An "@" behind the host: what stands before it was a password, and would be shown as a port and a path.
  if (url !== null && url.hash === '' && !(url.pathname + url.search).includes('@')) return value
  throw new ConfigError(
    `DATABASE_URL is no address, as ${example} is. Percent-encode what is special in its password: "/" is %2F, "#" is %23, "?" is %3F, "@" is %40`,
  )
}
