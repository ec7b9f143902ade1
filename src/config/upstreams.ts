import type { NamedFile } from './config-file.ts'
import type { ModelEntry, UpstreamEntry } from './file-schema.ts'
import { ConfigError, checkedBaseUrl, type Env, secret, text } from './values.ts'

/** An API that answers, and what is known of its models. */
export interface UpstreamConfig {
  readonly name: string
  /** What the names of its models begin with: `openai/`, or nothing where the environment sets the one upstream. */
  readonly prefix: string
  /** Without a slash at its end. */
  readonly baseUrl: string
  readonly apiKey: string | undefined
  /** The header that bears the bare key; undefined: `Authorization: Bearer`. */
  readonly apiKeyHeader: string | undefined
  /** Names in small letters. */
  readonly headers: Readonly<Record<string, string>>
  readonly query: Readonly<Record<string, string>>
  /** What it calls the longest answer; undefined: as its models usually have it. */
  readonly maxTokensField: 'max_tokens' | 'max_completion_tokens' | undefined
  readonly timeouts: Timeouts
  readonly models: ReadonlyMap<string, ModelEntry>
}

/** Milliseconds. */
export interface Timeouts {
  readonly connect: number
  readonly firstToken: number
  readonly idle: number
}

const local = 'http://localhost:11434/v1'
export const openAi = 'https://api.openai.com/v1'

/** Those of the file, or the one of the environment; empty where nothing is set. @throws ConfigError */
export function upstreamsOf(
  env: Env,
  file: NamedFile | undefined,
  timeouts: Timeouts,
): readonly UpstreamConfig[] {
  const { path = '', upstreams } = file ?? {}
  if (upstreams === undefined) return ofEnvironment(env, timeouts)
  if (text(env, 'OPENAI_BASE_URL') !== undefined) {
    throw new ConfigError(
      `OPENAI_BASE_URL is set, and ${path} has upstreams. Put the address there, as a base_url, and unset OPENAI_BASE_URL`,
    )
  }
  return Object.entries(upstreams).map(([name, entry]) => ofFile(env, path, name, entry, timeouts))
}

/** The one upstream, whose models go by their own names. */
export const soleUpstream = (
  baseUrl: string,
  apiKey: string | undefined,
  timeouts: Timeouts,
): UpstreamConfig =>
  Object.freeze({
    ...{ name: 'default', prefix: '', baseUrl, apiKey, apiKeyHeader: undefined, headers: {}, query: {} },
    ...{ maxTokensField: undefined, timeouts, models: new Map() },
  })

function ofEnvironment(env: Env, timeouts: Timeouts): readonly UpstreamConfig[] {
  const apiKey = secret(env, 'OPENAI_API_KEY')
  const baseUrl = text(env, 'OPENAI_BASE_URL')
  if (baseUrl === undefined) return apiKey === undefined ? [] : [soleUpstream(openAi, apiKey, timeouts)]
  return [soleUpstream(checkedBaseUrl('OPENAI_BASE_URL', baseUrl, local, 'OPENAI_API_KEY'), apiKey, timeouts)]
}

function ofFile(
  env: Env,
  path: string,
  name: string,
  entry: UpstreamEntry,
  timeouts: Timeouts,
): UpstreamConfig {
  const { connect_ms, first_token_ms, idle_ms } = entry.timeouts ?? {}
  return Object.freeze({
    name,
    prefix: `${name}/`,
    baseUrl: entry.base_url.replace(/\/+$/, ''),
    apiKey: keyOf(env, `upstreams.${name}.api_key_env in ${path}`, entry.api_key_env),
    apiKeyHeader: entry.api_key_header?.toLowerCase(),
    headers: Object.fromEntries(
      Object.entries(entry.headers ?? {}).map(([header, value]) => [header.toLowerCase(), value]),
    ),
    query: entry.query ?? {},
    maxTokensField: entry.max_tokens_field,
    timeouts: Object.freeze({
      connect: connect_ms ?? timeouts.connect,
      firstToken: first_token_ms ?? timeouts.firstToken,
      idle: idle_ms ?? timeouts.idle,
    }),
    models: new Map(Object.entries(entry.models ?? {})),
  })
}

function keyOf(env: Env, subject: string, variable: string | undefined): string | undefined {
  if (variable === undefined) return undefined
  const key = secret(env, variable)
  if (key !== undefined) return key
  throw new ConfigError(
    `${variable} is not set, and ${subject} names it. Set it, or leave api_key_env out where no key is needed`,
  )
}
