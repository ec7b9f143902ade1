import type { FastifyReply, FastifyRequest } from 'fastify'
import type { App } from '../app-type.ts'

/** Hears once of each request that it is over: its answer has been sent, or its connection closed before. `ms` is how long it took. */
export type Over = (request: FastifyRequest, reply: FastifyReply, ms: number) => void

/**
 * Tells those who are added to what it answers; of what other hooks refuse too, where it is registered before them.
 *
 * Nobody waits for what they do: so it is done for all requests of a turn of the event loop together, when their answers have gone
 * out. In between them it takes longer.
 */
export function tellWhenOver(app: App): Set<Over> {
  const told = new Set<Over>()
  let ended: Parameters<Over>[] = []
  const tellAll = () => {
    const all = ended
    ended = []
    for (const tell of told) for (const one of all) tell(...one)
  }
  app.addHook('onRequest', (request, reply, done) => {
    reply.raw.once('close', () => {
      if (ended.length === 0) setImmediate(tellAll)
      ended.push([request, reply, reply.elapsedTime])
    })
    done()
  })
  return told
}
