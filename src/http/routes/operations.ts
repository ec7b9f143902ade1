import { Type } from 'typebox'
import { DaehwaError } from '../../conversation/errors.ts'
import type { Store } from '../../conversation/store.ts'
import type { App } from '../app-type.ts'
import { errorResponses } from '../schemas/errors.ts'

export interface OperationsDeps {
  readonly store: Store
  /** Whether the demo model answers, for want of a real one. */
  readonly demo: boolean
  /** Whether the server has begun to shut down. */
  readonly isStopping: () => boolean
}

const healthSchema = {
  operationId: 'getHealth',
  tags: ['operations'],
  summary: 'The process is alive',
  response: { 200: Type.Object({ status: Type.Literal('ok') }, { description: 'Alive' }) },
}

const readySchema = {
  operationId: 'getReadiness',
  tags: ['operations'],
  summary: 'The server takes work',
  description: 'Its storage answers and it is not shutting down. The upstream is not asked.',
  response: {
    200: Type.Object(
      {
        status: Type.Literal('ok'),
        demo: Type.Boolean({ description: 'No upstream is set, and the demo model answers' }),
      },
      { description: 'Ready' },
    ),
    503: errorResponses(503)[503],
  },
}

export function operationRoutes(app: App, { store, demo, isStopping }: OperationsDeps): void {
  const config = { public: true, anyHost: true }

  app.get('/healthz', { schema: healthSchema, config }, async () => ({ status: 'ok' as const }))

  app.get('/readyz', { schema: readySchema, config }, async () => {
    if (isStopping()) throw DaehwaError.of('server_shutting_down').after(5)
    await store.ping()
    return { status: 'ok' as const, demo }
  })
}
