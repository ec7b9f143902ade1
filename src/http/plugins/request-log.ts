import { newId } from '../../conversation/ids.ts'
import type { App } from '../app-type.ts'
import type { Over } from './requests-over.ts'

/** One line for each request when its answer has been sent: the route, never the address, which bears names. */
export function logRequests(app: App, over: Set<Over>): void {
  // All that it is told stands here: looking for secrets in it would take longer than the line itself.
  const log = app.log.child({}, { redact: [] })
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id)
    done()
  })
  over.add((request, { raw, statusCode }, ms) => {
    if (!raw.writableFinished) return
    const { method, routeOptions } = request
    const { config } = routeOptions
    const fields = {
      reqId: request.id,
      method,
      route: routeOptions.url,
      status: statusCode,
      ms: Math.round(ms),
    }
    const quiet = config?.public === true || config?.operational === true
    log[quiet ? 'debug' : 'info'](fields, 'request')
  })
}

/** The caller's own `x-request-id` when it is a plain word, or else a new one. */
export function requestId(headers: NodeJS.Dict<string | string[]>): string {
  const given = headers['x-request-id']
  return typeof given === 'string' && /^[\w.-]{1,64}$/.test(given) ? given : newId('req', Date.now())
}
