import type { AddressInfo } from 'node:net'
import type { Config } from './config/config.ts'
import { isLoopback } from './config/edges.ts'
import { codeOf, DaehwaError } from './conversation/errors.ts'
import type { Models } from './conversation/models.ts'
import type { Log } from './conversation/ports.ts'
import type { App } from './http/app-type.ts'

/** The line by which an operator sees that all is well, and where. */
export function announce(app: App, { upstreams, apiKey, host }: Config, data: string): void {
  const { port } = app.server.address() as AddressInfo
  const demo = upstreams.length === 0
  app.log.info(
    { port, upstreams: demo ? ['demo'] : upstreams.map(({ baseUrl }) => baseUrl), data },
    'ready: GET /docs shows the routes',
  )
  if (apiKey !== undefined && apiKey.length < 20 && !isLoopback(host))
    app.log.warn('DAEHWA_API_KEY is short enough to be guessed. openssl rand -hex 32 makes a good one')
  if (!demo) return
  app.log.warn(
    'this is a demo: the built-in model "demo" answers. Set OPENAI_API_KEY or OPENAI_BASE_URL for a real one',
  )
}

/** Tells the operator at once whether the upstream answers; nothing depends on it. */
export async function greetUpstream(models: Models, log: Log): Promise<void> {
  try {
    const list = await models.list()
    const model = await models.default()
    log.info({ models: list.length, default: model }, 'the upstream answers')
  } catch (error) {
    const reason = error instanceof DaehwaError ? error.message : 'of an error that nobody foresaw'
    log.warn({ code: codeOf(error), reason }, 'the upstream cannot be used yet')
  }
}
