import type { Observer } from '../../conversation/observer.ts'
import type { App } from '../app-type.ts'

/** Tells of each request what is measured and traced of it: the template of its route, never its address, which bears names. */
export function observeRequests(app: App, observer: Observer): void {
  app.decorateRequest('span')
  app.addHook('onRequest', (request, reply, done) => {
    const { method, headers, routeOptions } = request
    const { url: route, config } = routeOptions
    const given = headers['traceparent']
    const traceparent = typeof given === 'string' ? given : undefined
    const traced = config?.public !== true && config?.operational !== true
    const span = observer.request({ method, route, traceparent, traced })
    request.span = span
    const { raw } = reply
    raw.once('close', () => span.answered(raw.writableFinished ? raw.statusCode : undefined))
    done()
  })
}
