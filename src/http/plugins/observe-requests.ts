import type { Observer } from '../../conversation/observer.ts'
import type { App } from '../app-type.ts'
import type { Over } from './requests-over.ts'

/** Tells of each request what is measured and traced of it: the template of its route, never its address, which bears names. */
export function observeRequests(app: App, observer: Observer, over: Set<Over>): void {
  app.decorateRequest('span')
  app.addHook('onRequest', (request, _reply, done) => {
    const { method, headers, routeOptions } = request
    const { url: route, config } = routeOptions
    const given = headers['traceparent']
    const traceparent = typeof given === 'string' ? given : undefined
    const traced = config?.public !== true && config?.operational !== true
    request.span = observer.request({ method, route, traceparent, traced })
    done()
  })
  over.add(({ span }, { raw }, ms) =>
    span?.answered(ms / 1000, raw.writableFinished ? raw.statusCode : undefined),
  )
}
