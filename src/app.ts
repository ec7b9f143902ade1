import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import Fastify, { type FastifyBaseLogger, LogController } from 'fastify'
import type { Registry } from 'prom-client'
import type { Clients } from './conversation/clients.ts'
import { DaehwaError } from './conversation/errors.ts'
import type { Models } from './conversation/models.ts'
import type { Observer } from './conversation/observer.ts'
import type { CountRequest, Now } from './conversation/ports.ts'
import type { Store } from './conversation/store.ts'
import type { Turns } from './conversation/turns.ts'
import type { App } from './http/app-type.ts'
import { eventEncoder } from './http/encode-event.ts'
import { handleError, handleNotFound } from './http/error-handler.ts'
import { type Access, authenticate } from './http/plugins/authenticate.ts'
import { answerBrokenRequest } from './http/plugins/broken-requests.ts'
import { tellBrowsers } from './http/plugins/browser-headers.ts'
import { requireDecodableUrls } from './http/plugins/decodable-urls.ts'
import { type Edges, guardEdges } from './http/plugins/edges.ts'
import { acceptJsonBodies } from './http/plugins/json-body.ts'
import { limitRequests } from './http/plugins/limit-requests.ts'
import { observeRequests } from './http/plugins/observe-requests.ts'
import { describeRoutes, type OpenApiOptions, serveDocument } from './http/plugins/openapi.ts'
import { logRequests, requestId } from './http/plugins/request-log.ts'
import { tellWhenOver } from './http/plugins/requests-over.ts'
import { shedLoad } from './http/plugins/shed-load.ts'
import { adminArchiveRoutes, archiveRoutes } from './http/routes/archive.ts'
import { backupRoute } from './http/routes/backup.ts'
import { clientRoutes } from './http/routes/clients.ts'
import { historyRoutes } from './http/routes/history.ts'
import { keyRoutes } from './http/routes/keys.ts'
import { metricsRoute } from './http/routes/metrics.ts'
import { modelRoutes } from './http/routes/models.ts'
import { operationRoutes } from './http/routes/operations.ts'
import { queryRoute } from './http/routes/query.ts'
import { turnRoutes } from './http/routes/turns.ts'
import { usageRoutes } from './http/routes/usage.ts'
import { validatorCompiler } from './http/validation.ts'

export interface AppDeps {
  readonly store: Store
  readonly models: Models
  readonly turns: Turns
  readonly clients: Clients
  readonly observer: Observer
  readonly metrics: Registry
  readonly now: Now
  readonly logger: FastifyBaseLogger
  readonly access: Access
  readonly countRequest: CountRequest
  readonly edges: Edges
  readonly demo: boolean
  readonly isStopping: () => boolean
  readonly openApi: OpenApiOptions
}

const maxBody = 1024 * 1024
/** A name in a path may be as long as Node lets a request line be; its real limit is that of the domain. */
const maxPath = 16 * 1024

/** The HTTP server with all its routes, not yet listening. */
export async function buildApp(deps: AppDeps): Promise<App> {
  const tell = tellBrowsers(deps.edges.origins)
  const app = Fastify({
    loggerInstance: deps.logger,
    logController: new LogController({ disableRequestLogging: true }), // logRequests writes its own line
    genReqId: ({ headers }) => requestId(headers),
    childLoggerFactory: (logger) => logger, // whoever logs names the request: a logger for each costs more than its lines
    bodyLimit: maxBody,
    keepAliveTimeout: 65_000,
    requestTimeout: 60_000, // for the whole request to arrive
    return503OnClosing: false, // refuseWhenStopping says it in our words
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: maxPath },
    frameworkErrors: (error, request, reply) => {
      tell(request, reply) // no hook comes before these
      return handleError(error, request, reply)
    },
    clientErrorHandler: answerBrokenRequest,
    http: {
      requireHostHeader: false, // Node would say so without a word; guardEdges does
      headersTimeout: 10_000, // whoever sends them more slowly holds a connection for nothing
      connectionsCheckingInterval: 2_000,
    },
  }).withTypeProvider<TypeBoxTypeProvider>()

  // Node would answer an expectation that it does not know with an empty 417; it may as well be ignored (RFC 9110, 10.1.1).
  app.server.on('checkExpectation', (request, reply) => app.server.emit('request', request, reply))

  app.setErrorHandler(handleError)
  app.setNotFoundHandler(handleNotFound)
  app.setValidatorCompiler(validatorCompiler())
  acceptJsonBodies(app)

  const over = tellWhenOver(app)
  observeRequests(app, deps.observer, over)
  logRequests(app, over)
  app.addHook('onRequest', (request, reply, done) => {
    tell(request, reply)
    done()
  })
  guardEdges(app, deps.edges)
  shedLoad(app)
  requireDecodableUrls(app)
  authenticate(app, deps.access, over)
  limitRequests(app, deps.countRequest)
  refuseWhenStopping(app, deps.isStopping)

  await describeRoutes(app, deps.openApi)
  modelRoutes(app, deps)
  const encode = eventEncoder()
  queryRoute(app, { ...deps, encode })
  turnRoutes(app, { ...deps, encode })
  historyRoutes(app, deps)
  clientRoutes(app, deps)
  keyRoutes(app, deps.access)
  usageRoutes(app, deps)
  backupRoute(app, deps)
  archiveRoutes(app, deps)
  adminArchiveRoutes(app, deps)
  operationRoutes(app, deps)
  metricsRoute(app, deps)
  await serveDocument(app, deps.openApi)
  return app
}

/** A server that stops takes nothing new; what there is can be read, cancelled and erased to the end. */
function refuseWhenStopping(app: App, isStopping: () => boolean): void {
  app.addHook('onRequest', ({ method, routeOptions: { config } }, reply, done) => {
    if (!isStopping()) return done()
    reply.header('connection', 'close')
    if (method === 'POST' || method === 'PATCH') {
      if (config?.whileStopping !== true) throw DaehwaError.of('server_shutting_down').after(5)
    }
    done()
  })
}
