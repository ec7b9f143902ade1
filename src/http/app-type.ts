import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify'
import type { Caller } from '../conversation/access/caller.ts'
import type { RequestSpan } from '../conversation/observer.ts'

/** The server as routes see it: what a schema says is the type of what the handler gets. */
export type App = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>

declare module 'fastify' {
  interface FastifyRequest {
    /** On whose behalf it is made. */
    caller: Caller
    /** Where it tells how it goes; what it begins is a part of it. */
    span: RequestSpan | undefined
  }
  interface FastifyContextConfig {
    /** Answers without a key: nothing that belongs to a tenant is behind it. */
    public?: boolean
    /** Asked by machines that know an address and no name. */
    anyHost?: boolean
    /** For the operator alone. */
    operator?: boolean
    /** Not for keys that are one client's. */
    wholeTenant?: boolean
    /** Begins what takes long: it is refused first when there is too much to do. */
    begins?: boolean
    /** Asked every few seconds by a machine: it fills no log. */
    operational?: boolean
    /** Changes what there is, and begins nothing: it is taken also while the server stops. */
    whileStopping?: boolean
  }
}
