import type { IncomingMessage } from 'node:http'
import { DaehwaError } from '../../conversation/errors.ts'
import type { App } from '../app-type.ts'

export interface Edges {
  /** The names that a request may ask for, in lower case, without ports; undefined: any. */
  readonly hosts: ReadonlySet<string> | undefined
  /** The origins of others whose pages may read and ask. */
  readonly origins: ReadonlySet<string>
  /** The origin of the address under which others reach this server. */
  readonly publicOrigin: string | undefined
}

/**
 * Turns away what a browser was led here with: a page whose name was made to point to this machine (DNS rebinding) asks
 * for that name, and a page of another origin says so, also where no preflight comes before it. Preflights of pages
 * that may ask (Fetch standard, "CORS protocol") are answered here: they bear no key.
 */
export function guardEdges(app: App, { hosts, origins, publicOrigin }: Edges): void {
  app.addHook('onRequest', ({ raw, method, headers, routeOptions }, reply, done) => {
    if (hosts !== undefined && routeOptions.config?.anyHost !== true && !hosts.has(nameOf(raw))) {
      throw DaehwaError.of('misdirected_request')
    }
    const { origin } = headers
    if (origin === undefined || origin === publicOrigin) return done()
    if (!origins.has(origin)) {
      if (isSame(origin, headers.host)) return done()
      throw DaehwaError.of('forbidden_origin')
    }
    if (method !== 'OPTIONS' || headers['access-control-request-method'] === undefined) return done()
    const asked = headers['access-control-request-headers']
    if (asked !== undefined) reply.header('access-control-allow-headers', asked)
    reply
      .header('access-control-allow-methods', 'GET, POST, PATCH, DELETE')
      .header('access-control-max-age', '7200')
      .code(204)
      .send()
  })
}

/** The name that a request asks for, without its port; none when it asks for none, or for two. */
function nameOf({ rawHeaders }: IncomingMessage): string {
  let named: string | undefined
  for (let n = 0; n < rawHeaders.length; n += 2) {
    if (rawHeaders[n]?.toLowerCase() !== 'host') continue
    if (named !== undefined) return ''
    named = rawHeaders[n + 1]
  }
  return /^(\[[^\]]*\]|[^:]*)(:\d*)?$/.exec(named ?? '')?.[1]?.toLowerCase() ?? ''
}

/** The scheme may differ: a proxy in front may end TLS without telling. */
function isSame(origin: string, host = ''): boolean {
  const url = /^https?:/.test(origin) ? URL.parse(origin) : null
  return url !== null && url.origin === origin && URL.parse(`${url.protocol}//${host}`)?.host === url.host
}
