import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { DaehwaError, type ErrorCode, invalid, toDaehwaError } from '../conversation/errors.ts'
import { describeValidation } from './validation.ts'

/** The HTTP status of each error: the only place that knows it. */
export const statusOf: Readonly<Record<ErrorCode, number>> = {
  invalid_request: 400,
  model_not_found: 400,
  context_length_exceeded: 400,
  invalid_api_key: 401,
  forbidden_origin: 403,
  forbidden: 403,
  not_found: 404,
  request_timeout: 408,
  conversation_busy: 409,
  history_exists: 409,
  compaction_running: 409,
  turn_cancelled: 409,
  history_deleted: 410,
  payload_too_large: 413,
  unsupported_media_type: 415,
  misdirected_request: 421,
  idempotency_key_reused: 422,
  rate_limited: 429,
  quota_exceeded: 429,
  upstream_rate_limited: 429,
  headers_too_large: 431,
  internal_error: 500,
  upstream_error: 502,
  upstream_auth: 502,
  no_default_model: 502,
  upstream_bad_response: 502,
  overloaded: 503,
  storage_unavailable: 503,
  upstream_quota: 503,
  upstream_unavailable: 503,
  server_restarted: 503,
  turn_retried: 503,
  server_shutting_down: 503,
  upstream_timeout: 504,
  storage_full: 507,
}

/** The body of every error on the native routes. */
export interface ErrorBody {
  readonly error: string
  readonly code: ErrorCode
  readonly request_id: string
}

export const errorBody = (error: DaehwaError, requestId: string): ErrorBody => ({
  error: error.message,
  code: error.code,
  request_id: requestId,
})

/** The one door by which a thrown error leaves. */
export function handleError(thrown: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const error = ofThrown(thrown, request)
  const status = statusOf[error.code]
  if (error.code === 'internal_error') request.log.error({ reqId: request.id, err: thrown }, 'internal error')
  else if (status >= 500)
    request.log.warn(
      { reqId: request.id, code: error.code, reason: error.message, err: error.cause },
      'failed',
    )
  if (error.retryAfter !== undefined) reply.header('retry-after', error.retryAfter)
  // It was tried again here as often as makes sense; the retries of clients would multiply ours.
  if (error.code.startsWith('upstream_')) reply.header('x-should-retry', 'false')
  if (error.code === 'invalid_api_key') reply.header('www-authenticate', 'Bearer')
  if (error.code === 'server_shutting_down') reply.header('connection', 'close')
  return reply.code(status).header('x-request-id', request.id).send(errorBody(error, request.id))
}

/** For a route that is not there; where the path has others, it names them. */
export function handleNotFound(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const url = request.url.replace(/\?.*/s, '')
  const isPlain = /^[\w/.-]*$/.test(url) // the router would read other characters as its own
  const others = isPlain ? methods.filter((method) => request.server.hasRoute({ method, url })) : []
  const hint = others.length > 0 ? `this path takes ${others.join(' and ')}` : 'GET /docs lists all'
  return handleError(DaehwaError.of('not_found', { what: `such route: ${hint}` }), request, reply)
}

const methods = ['GET', 'POST', 'PATCH', 'DELETE'] as const

/** What was thrown, in the catalogue's words; the framework's own errors are translated. */
function ofThrown(thrown: unknown, request: FastifyRequest): DaehwaError {
  if (thrown instanceof DaehwaError || !isFastifyError(thrown)) return toDaehwaError(thrown)
  if (thrown.validation !== undefined) {
    return invalid(
      describeValidation(thrown.validation, thrown.validationContext, request.routeOptions.schema),
    )
  }
  switch (thrown.code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return DaehwaError.of('payload_too_large', { limit: request.routeOptions.bodyLimit })
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
    case 'FST_ERR_CTP_INVALID_TYPE':
      return DaehwaError.of('unsupported_media_type')
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
      return invalid('The body has another length than its Content-Length says. Send them equal.')
    case 'FST_ERR_BAD_URL':
      return invalid('The address is not percent-encoded UTF-8. Encode it, as encodeURIComponent does.')
    case 'ECONNRESET':
      return invalid('The request broke off before it was whole.')
    default:
      return ofStatus(thrown.statusCode)
  }
}

/** Errors of plugins that know what the caller did wrong, such as asking for a file that is not served. */
function ofStatus(status = 500): DaehwaError {
  if (status === 403 || status === 404)
    return DaehwaError.of('not_found', { what: 'such file: GET /docs lists all' })
  return status < 500
    ? invalid('The headers ask for what this route cannot do.')
    : DaehwaError.of('internal_error')
}

const isFastifyError = (thrown: unknown): thrown is FastifyError =>
  thrown instanceof Error && ('validation' in thrown || 'code' in thrown || 'statusCode' in thrown)
