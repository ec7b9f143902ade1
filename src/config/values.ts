/** A setting that cannot be used; the message is one line for the operator. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

export type Env = Readonly<Record<string, string | undefined>>

/** An empty value counts as none, as a line `NAME=` in `.env` means it. */
export function text(env: Env, name: string): string | undefined {
  return env[name]?.trim() || undefined
}

/** What goes into a header: its value is never repeated in a message. */
export function secret(env: Env, name: string): string | undefined {
  const value = text(env, name)
  if (value !== undefined && !/^[\x21-\x7e]+$/.test(value)) {
    throw new ConfigError(`${name} holds a space or a character outside ASCII. Copy the key again`)
  }
  return value
}

export function whole<T extends number | undefined>(
  env: Env,
  name: string,
  otherwise: T,
  min: number,
  max: number,
): T | number {
  const value = text(env, name)
  if (value === undefined) return otherwise
  const number = /^\d+$/.test(value) ? Number(value) : Number.NaN
  if (number >= min && number <= max) return number
  throw new ConfigError(`${name}=${value} must be a whole number from ${min} to ${max}`)
}

export function oneOf<T extends string>(env: Env, name: string, choices: readonly T[], otherwise: T): T {
  const value = text(env, name)
  if (value === undefined) return otherwise
  const choice = choices.find((c) => c === value)
  if (choice !== undefined) return choice
  throw new ConfigError(`${name}=${value} must be one of ${choices.join(', ')}`)
}

export function url(env: Env, name: string, example: string, keyGoes = 'OPENAI_API_KEY'): string | undefined {
  const value = text(env, name)
  return value === undefined ? undefined : checkedUrl(name, value, example, keyGoes)
}

/** An address without a slash at its end. `keyGoes` says where a key goes that stands in it. */
function checkedUrl(subject: string, value: string, example: string, keyGoes: string): string {
  const parsed = URL.parse(value)
  if (parsed === null || !/^https?:$/.test(parsed.protocol)) {
    throw new ConfigError(`${subject} must begin with http:// or https://, as in ${example}`)
  }
  if (parsed.search !== '' || parsed.hash !== '') {
    throw new ConfigError(`${subject} must have no "?" and no "#", as in ${example}`)
  }
  if (parsed.username !== '' || parsed.password !== '') {
    throw new ConfigError(
      `${subject} holds a user name or password. Leave it out; a key goes into ${keyGoes}`,
    )
  }
  return value.replace(/\/+$/, '')
}

/** The address of an upstream, to which `/chat/completions` is added. */
export function checkedBaseUrl(subject: string, value: string, example: string, keyGoes: string): string {
  const baseUrl = checkedUrl(subject, value, example, keyGoes)
  if (!baseUrl.endsWith('/chat/completions')) return baseUrl
  throw new ConfigError(`${subject} ends in /chat/completions. Leave that out: it usually ends in /v1`)
}
