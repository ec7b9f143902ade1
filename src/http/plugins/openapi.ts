import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyRequest } from 'fastify'
import type { App } from '../app-type.ts'

export interface OpenApiOptions {
  readonly version: string
  /** The address under which others reach this server; undefined: as each request says. */
  readonly publicUrl: string | undefined
}

/** The page loads nothing from elsewhere, and talks to this server alone. */
const pagePolicy =
  "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"

/** Collects the routes that are registered after it into an OpenAPI 3.1 document. */
export async function describeRoutes(app: App, { version }: OpenApiOptions): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Daehwa (대화)',
        description: 'A conversation server: one POST with a name and a text, and it remembers.',
        version,
      },
      tags: [
        { name: 'conversation', description: 'Ask, read and clear' },
        { name: 'turns', description: 'Read, follow and cancel' },
        { name: 'models', description: 'List and choose' },
        { name: 'clients', description: 'Settings, contexts and summaries' },
        { name: 'operations', description: 'For those who run the server' },
      ],
      components: {
        securitySchemes: {
          bearer: { type: 'http', scheme: 'bearer' },
          apiKey: { type: 'apiKey', in: 'header', name: 'x-api-key' },
        },
      },
      security: [{ bearer: [] }, { apiKey: [] }],
    },
  })
}

/** `GET /openapi.json`, and the same as a page at `/docs`; all of it is served from here. */
export async function serveDocument(app: App, { publicUrl }: OpenApiOptions): Promise<void> {
  const withServer = (document: object, request: FastifyRequest) => ({
    ...document,
    servers: [{ url: publicUrl ?? addressOf(request) }],
  })
  app.get('/', { schema: { hide: true }, config: { public: true } }, async (_request, reply) =>
    reply.redirect('/docs/'),
  )
  app.get('/openapi.json', { schema: { hide: true }, config: { public: true } }, async (request) =>
    withServer(app.swagger(), request),
  )
  await app.register(async (docs) => {
    docs.addHook('onRoute', (route) => {
      route.config = { ...route.config, public: true }
    })
    await docs.register(swaggerUi, {
      routePrefix: '/docs',
      staticCSP: pagePolicy,
      uiConfig: { validatorUrl: null },
      theme: { title: 'Daehwa' },
      // The page can only talk to the server that it came from, whatever others call it.
      transformSpecification: (document, request) => ({
        ...document,
        servers: [{ url: addressOf(request) }],
      }),
      transformSpecificationClone: false,
    })
  })
}

/** As the caller sees it; behind a proxy that ends TLS, `X-Forwarded-Proto` tells the scheme. */
function addressOf(request: FastifyRequest): string {
  const scheme = request.headers['x-forwarded-proto'] === 'https' ? 'https' : request.protocol
  return `${scheme}://${request.host}`
}
