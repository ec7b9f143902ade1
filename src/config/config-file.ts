import { Ajv, type ErrorObject } from 'ajv'
import { type ConfigFile, ConfigFileSchema, type UpstreamEntry } from './file-schema.ts'
import { ConfigError, checkedBaseUrl } from './values.ts'

/** A file that was read and checked, with the path that it is called by. */
export interface NamedFile extends ConfigFile {
  readonly path: string
}

/** Headers that bear keys, or that the requests and the connection need for themselves; and what is a key in an address. */
const keyHeaders = /^(authorization|proxy-authorization|api-key|x-api-key|x-goog-api-key|cookie)$/i
const ownHeaders =
  /^(content-(type|length|encoding)|accept(-encoding)?|transfer-encoding|connection|keep-alive|upgrade|expect|te|trailer)$/i
const keyQuery = /^(api[-_]?key|key|access[-_]?token|token)$/i

/**
 * Reads `daehwa.config.json`.
 *
 * @throws ConfigError for the first mistake, as `daehwa.config.json: upstreams.azure has no base_url`
 */
export function parseConfigFile(path: string, content: string): NamedFile {
  const value = parseJson(path, content)
  const validate = new Ajv({ strict: false, verbose: true }).compile<ConfigFile>(ConfigFileSchema)
  if (!validate(value)) throw new ConfigError(sentence(path, validate.errors ?? []))
  for (const [name, upstream] of Object.entries(value.upstreams ?? {})) {
    checkUpstream(`${path}: upstreams${step(name)}`, upstream)
  }
  const file = { ...value, path }
  for (const [alias, chain] of Object.entries(value.aliases ?? {})) {
    const at = `${path}: aliases${step(alias)}`
    if (typeof chain === 'string') checkAliased(file, at, chain)
    else for (const [index, model] of chain.entries()) checkAliased(file, `${at}[${index}]`, model)
  }
  for (const field of ['default_model', 'summary_model'] as const) {
    const model = value[field]
    if (model !== undefined) checkModel(file, `${path}: ${field}`, model)
  }
  return file
}

/** @throws ConfigError when a model is said to be of an upstream that is not there */
export function checkModel({ upstreams }: ConfigFile, subject: string, model: string): void {
  const slash = model.indexOf('/')
  if (upstreams === undefined || slash === -1 || Object.hasOwn(upstreams, model.slice(0, slash))) return
  throw new ConfigError(
    `${subject} is '${model}', and there is no upstream '${model.slice(0, slash)}'. There are ${Object.keys(upstreams).join(', ')}`,
  )
}

function checkAliased(file: ConfigFile, subject: string, model: string): void {
  if (Object.hasOwn(file.aliases ?? {}, model)) {
    throw new ConfigError(`${subject} is '${model}', which is an alias itself. Name a model`)
  }
  checkModel(file, subject, model)
}

function checkUpstream(at: string, { base_url, api_key_env, ...entry }: UpstreamEntry): void {
  if (base_url.includes('?')) {
    throw new ConfigError(`${at}.base_url must have no "?". What follows it goes into the query beside it`)
  }
  checkedBaseUrl(`${at}.base_url`, base_url, 'https://api.openai.com/v1', 'what api_key_env names')
  if (entry.api_key_header !== undefined && api_key_env === undefined) {
    throw new ConfigError(`${at}.api_key_header is set, and no api_key_env names a key for it`)
  }
  if (ownHeaders.test(entry.api_key_header ?? '')) {
    throw new ConfigError(`${at}.api_key_header is a header that the server sets itself. Name another`)
  }
  const headers = Object.keys(entry.headers ?? {})
  const own = headers.find((name) => ownHeaders.test(name))
  if (own !== undefined) {
    throw new ConfigError(`${at}.headers${step(own)} is set by the server itself. Leave it out`)
  }
  const key = headers.find((name) => keyHeaders.test(name))
  if (key !== undefined) throw keyInFile(`${at}.headers${step(key)}`)
  const parameter = Object.keys(entry.query ?? {}).find((name) => keyQuery.test(name))
  if (parameter !== undefined) throw keyInFile(`${at}.query${step(parameter)}`)
}

const keyInFile = (subject: string): ConfigError =>
  new ConfigError(
    `${subject} would put a key into the file. Put it into an environment variable, and its name into api_key_env; api_key_header names the header`,
  )

function parseJson(path: string, content: string): unknown {
  try {
    return JSON.parse(content.replace(/^\uFEFF/, '')) // editors on Windows begin files with a mark
  } catch (error) {
    // The rest of the parser's message would quote the file.
    const place = /line (\d+) column (\d+)/.exec(error instanceof Error ? error.message : '')
    const where = place === null ? 'is no JSON' : `is no JSON at line ${place[1]}, column ${place[2]}`
    throw new ConfigError(`${path} ${where}. It must have no comments and no comma after a last entry`)
  }
}

/** The deepest error is the one that was meant; of alternatives that all failed, the last speaks for them. */
function sentence(path: string, errors: readonly ErrorObject[]): string {
  const depth = ({ instancePath }: ErrorObject) => instancePath.split('/').length
  const error = errors.reduce((a, b) => (depth(b) >= depth(a) ? b : a))
  const at = error.instancePath.split('/').slice(1).map(unescaped).map(step).join('').replace(/^\./, '')
  return `${path}: ${problem(error, at)}`
}

function problem({ keyword, params, parentSchema, message }: ErrorObject, at: string): string {
  const subject = at === '' ? 'the file' : at
  const field = (name: string) => `${at}${step(name)}`.replace(/^\./, '')
  const schema = parentSchema ?? {}
  switch (keyword) {
    case 'required':
      return `${subject} has no ${params['missingProperty']}`
    case 'additionalProperties':
      return `${field(params['additionalProperty'])} is no setting. There are ${Object.keys(schema['properties']).join(', ')}`
    case 'propertyNames':
      return `${field(params['propertyName'])} ${schema['propertyNames'].patternErrorMessage}`
    case 'pattern':
      return `${subject} ${schema['patternErrorMessage']}`
    case 'anyOf':
      return `${subject} ${schema['errorMessage']}`
    case 'enum':
      return `${subject} must be one of ${params['allowedValues'].join(', ')}`
    case 'type':
      return `${subject} must be ${params['type'] === 'integer' ? 'a whole number' : `${/^[aeiou]/.test(params['type']) ? 'an' : 'a'} ${params['type']}`}`
    case 'minimum':
    case 'maximum':
      return `${subject} must be at ${keyword === 'minimum' ? 'least' : 'most'} ${params['limit']}`
    case 'minProperties':
      return `${subject} must not be empty`
    case 'uniqueItems':
      return `${subject} names the same twice`
    default:
      return `${subject} ${message ?? 'is not as the schema says'}`
  }
}

/** A step of a path, as JavaScript writes it: `.azure`, `["gpt-4.1"]`, `[0]`. */
const step = (name: string): string =>
  /^\d+$/.test(name) ? `[${name}]` : /^[\w$-]+$/.test(name) ? `.${name}` : `[${JSON.stringify(name)}]`

/** RFC 6901, 4. */
const unescaped = (token: string): string => token.replaceAll('~1', '/').replaceAll('~0', '~')
