/** Everything that can be set, checked. Times are milliseconds, sizes tokens. */
export interface Config {
  readonly port: number
  readonly host: string
  /** The address under which others reach this server; undefined: as each request says. */
  readonly publicUrl: string | undefined
  /** Undefined: nothing is set, and the demo model answers. */
  readonly upstream: UpstreamConfig | undefined
  readonly defaultModel: string | undefined
  readonly contextWindow: number
  readonly dataDir: string
  readonly durability: 'full' | 'normal'
  readonly apiKey: string | undefined
  readonly turnTimeout: number
  /** How many turns may wait in one conversation. */
  readonly maxWaiting: number
  readonly timeouts: Timeouts
  readonly logLevel: LogLevel
}

interface UpstreamConfig {
  /** Without a slash at its end. */
  readonly baseUrl: string
  readonly apiKey: string | undefined
}

interface Timeouts {
  readonly connect: number
  readonly firstToken: number
  readonly idle: number
}

/** A setting that cannot be used; the message is one line for the operator. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

type Env = Readonly<Record<string, string | undefined>>

const openAi = 'https://api.openai.com/v1'
/** What clients of api.openai.com have that have chosen no model: a cheap one with a large window. */
const openAiModel = 'gpt-4.1-mini'
const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
type LogLevel = (typeof logLevels)[number]
const maxTime = 2 ** 31 - 1

/** @throws ConfigError for the first setting that is wrong, or that is none of ours */
export function parseConfig(from: Env): Config {
  const known = new Set<string>()
  const env = new Proxy(from, { get: (values, name: string) => values[known.add(name) && name] })
  const config = readConfig(env)
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

function readConfig(env: Env): Config {
  refuseUnsupported(env)
  const host = text(env, 'HOST') ?? '127.0.0.1'
  const apiKey = secret(env, 'DAEHWA_API_KEY')
  if (apiKey === undefined && !isLoopback(host)) {
    throw new ConfigError(
      `HOST=${host} can be reached from other machines, and there is no key. Set DAEHWA_API_KEY (openssl rand -hex 32 makes one), or leave HOST out`,
    )
  }
  const upstream = upstreamOf(env)
  return Object.freeze({
    port: whole(env, 'PORT', 10_000, 0, 65_535),
    host,
    publicUrl: url(env, 'DAEHWA_PUBLIC_URL', 'https://chat.example.com'),
    upstream,
    defaultModel:
      text(env, 'DAEHWA_DEFAULT_MODEL') ?? (upstream?.baseUrl === openAi ? openAiModel : undefined),
    contextWindow: whole(env, 'DAEHWA_CONTEXT_WINDOW', 8_192, 256, 100_000_000),
    dataDir: text(env, 'DATA_DIR') ?? './data',
    durability: oneOf(env, 'DAEHWA_DURABILITY', ['full', 'normal'], 'full'),
    apiKey,
    turnTimeout: whole(env, 'DAEHWA_TURN_TIMEOUT_MS', 300_000, 1, maxTime),
    maxWaiting: whole(env, 'DAEHWA_MAX_WAITING', 64, 0, 1_000_000),
    timeouts: Object.freeze({
      connect: whole(env, 'DAEHWA_CONNECT_TIMEOUT_MS', 5_000, 1, maxTime),
      firstToken: whole(env, 'DAEHWA_FIRST_TOKEN_TIMEOUT_MS', 60_000, 1, maxTime),
      idle: whole(env, 'DAEHWA_IDLE_TIMEOUT_MS', 60_000, 1, maxTime),
    }),
    logLevel: oneOf(env, 'DAEHWA_LOG_LEVEL', logLevels, 'info'),
  })
}

function upstreamOf(env: Env): UpstreamConfig | undefined {
  const apiKey = secret(env, 'OPENAI_API_KEY')
  const baseUrl = url(env, 'OPENAI_BASE_URL', 'http://localhost:11434/v1')
  if (baseUrl?.endsWith('/chat/completions') === true) {
    throw new ConfigError('OPENAI_BASE_URL ends in /chat/completions. Leave that out: it usually ends in /v1')
  }
  if (apiKey === undefined && baseUrl === undefined) return undefined
  return Object.freeze({ baseUrl: baseUrl ?? openAi, apiKey })
}

/** A setting of a later version would be ignored without a word, so it is refused. */
function refuseUnsupported(env: Env): void {
  for (const name of ['DATABASE_URL', 'REDIS_URL']) {
    if (text(env, name) !== undefined) {
      throw new ConfigError(
        `${name} is set, and this version keeps everything in SQLite (DATA_DIR). Unset ${name}`,
      )
    }
  }
}

const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)

/** An empty value counts as none, as a line `NAME=` in `.env` means it. */
function text(env: Env, name: string): string | undefined {
  return env[name]?.trim() || undefined
}

/** What goes into a header: its value is never repeated in a message. */
function secret(env: Env, name: string): string | undefined {
  const value = text(env, name)
  if (value !== undefined && !/^[\x21-\x7e]+$/.test(value)) {
    throw new ConfigError(`${name} holds a space or a character outside ASCII. Copy the key again`)
  }
  return value
}

function whole(env: Env, name: string, otherwise: number, min: number, max: number): number {
  const value = text(env, name)
  if (value === undefined) return otherwise
  const number = /^\d+$/.test(value) ? Number(value) : Number.NaN
  if (number >= min && number <= max) return number
  throw new ConfigError(`${name}=${value} must be a whole number from ${min} to ${max}`)
}

function oneOf<T extends string>(env: Env, name: string, choices: readonly T[], otherwise: T): T {
  const value = text(env, name)
  if (value === undefined) return otherwise
  const choice = choices.find((c) => c === value)
  if (choice !== undefined) return choice
  throw new ConfigError(`${name}=${value} must be one of ${choices.join(', ')}`)
}

function url(env: Env, name: string, example: string): string | undefined {
  const value = text(env, name)
  if (value === undefined) return undefined
  const parsed = URL.parse(value)
  if (parsed === null || !/^https?:$/.test(parsed.protocol)) {
    throw new ConfigError(`${name} must begin with http:// or https://, as in ${example}`)
  }
  if (parsed.search !== '' || parsed.hash !== '') {
    throw new ConfigError(`${name} must have no "?" and no "#", as in ${example}`)
  }
  if (parsed.username !== '' || parsed.password !== '') {
    throw new ConfigError(
      `${name} holds a user name or password. Leave it out; a key goes into OPENAI_API_KEY`,
    )
  }
  return value.replace(/\/+$/, '')
}
