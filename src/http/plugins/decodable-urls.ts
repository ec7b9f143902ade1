import { invalid } from '../../conversation/errors.ts'
import type { App } from '../app-type.ts'

/** Refuses addresses that are not percent-encoded UTF-8, which the framework would hand on as they are. */
export function requireDecodableUrls(app: App): void {
  app.addHook('onRequest', (request, _reply, done) => {
    try {
      if (request.url.includes('%')) decodeURIComponent(request.url)
    } catch {
      throw invalid(
        'The address is not percent-encoded UTF-8. Encode each value, as curl does with -G --data-urlencode "client_name=…".',
      )
    }
    done()
  })
}
