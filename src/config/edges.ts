import { ConfigError, type Env, text } from './values.ts'

/** Who may ask from where, as browsers tell it. */
export interface Edges {
  /** The names that a request may ask for, in lower case, without ports; undefined: any. */
  readonly hosts: ReadonlySet<string> | undefined
  /** The origins of pages that may read and ask; our own are the one in the request, and that of the public address. */
  readonly origins: ReadonlySet<string>
  readonly publicOrigin: string | undefined
}

/**
 * Without names of its own a server that asks for a key takes any: a page that has its name point here still has no
 * key. On loopback there may be none, so that only the names of this machine are taken.
 */
export function edgesOf(env: Env, host: string, publicUrl: string | undefined): Edges {
  const address = publicUrl === undefined ? null : URL.parse(publicUrl)
  const allowed = list(env, 'DAEHWA_ALLOWED_HOSTS').map(checkedHost)
  const own = host.includes(':') ? `[${host}]` : host
  const names = ['localhost', '127.0.0.1', '[::1]', own, ...allowed, ...(address ? [address.hostname] : [])]
  return Object.freeze({
    hosts:
      isLoopback(host) || allowed.length > 0 ? new Set(names.map((name) => name.toLowerCase())) : undefined,
    origins: new Set(list(env, 'DAEHWA_CORS_ORIGINS').map(checkedOrigin)),
    publicOrigin: address?.origin,
  })
}

export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)

const list = (env: Env, name: string): readonly string[] =>
  (text(env, name) ?? '')
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '')

function checkedHost(host: string): string {
  if (/^([\w.-]+|\[[\da-f:.]+\])$/i.test(host)) return host
  throw new ConfigError(
    `DAEHWA_ALLOWED_HOSTS holds '${host}'. Name hosts without a port and without http://, with a comma between two, as in bot.example.com,10.0.0.7`,
  )
}

function checkedOrigin(origin: string): string {
  if (origin === '*') {
    throw new ConfigError(
      'DAEHWA_CORS_ORIGINS=* would let every page in the world ask as whoever looks at it. Name those that may, as in https://app.example.com',
    )
  }
  const url = URL.parse(origin)
  const web = url !== null && /^https?:$/.test(url.protocol)
  if (url !== null && (web ? url.origin === origin : /^[a-z][a-z\d+.-]*:\/\/[^/?#@\s]*$/.test(origin)))
    return origin
  throw new ConfigError(
    `DAEHWA_CORS_ORIGINS holds '${origin}'. Name origins as browsers send them, without a path, with a comma between two, as in https://app.example.com`,
  )
}
