import type { Registry } from 'prom-client'
import { Type } from 'typebox'
import type { App } from '../app-type.ts'
import { errorResponses } from '../schemas/errors.ts'

const metricsSchema = {
  operationId: 'getMetrics',
  tags: ['operations'],
  summary: 'What this instance is doing, for Prometheus',
  description: 'Turns that run and wait here, and what the process uses. Also while it shuts down.',
  response: {
    200: {
      description: "The metrics, in Prometheus' text format",
      content: { 'text/plain': { schema: Type.String() } },
    },
    ...errorResponses(),
  },
}

export function metricsRoute(app: App, { metrics }: { metrics: Registry }): void {
  const config = { operational: true, operator: true }

  app.get('/metrics', { schema: metricsSchema, config }, async (_request, reply) => {
    reply.type(metrics.contentType)
    return metrics.metrics()
  })
}
