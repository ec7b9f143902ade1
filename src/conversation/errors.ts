/**
 * Everything that can go wrong, by code, and the one place that words it. A sentence says what is wrong and
 * what would be right; it never holds a key or what people said. HTTP statuses are not known here.
 */
const wording = {
  invalid_request: (d: { problem: string }) => d.problem,
  model_not_found: (d: { model: string }) =>
    `The upstream has no model '${d.model}'. GET /models lists those it has; POST /model chooses one.`,
  no_default_model: () =>
    'No model is chosen and the upstream lists none. POST /model chooses one; for all clients the operator of this server sets DAEHWA_DEFAULT_MODEL, or corrects the base URL of the upstream, which usually ends in /v1.',
  context_length_exceeded: (d: { needed?: number; limit?: number; model: string }) =>
    d.needed === undefined || d.limit === undefined
      ? `The upstream says that the input is too long for '${d.model}'. Send a shorter one, or choose a model with a larger window.`
      : `The input, with the instructions, needs ${d.needed} tokens, and '${d.model}' has room for ${d.limit}. Send shorter ones, or choose a model with a larger window.`,
  invalid_api_key: () =>
    'The key is missing or wrong. Send a key of this server (one that its operator made, or its DAEHWA_API_KEY) as "Authorization: Bearer <key>" or "x-api-key: <key>".',
  forbidden: (d: { what: string }) => `This key may not do that. ${d.what}.`,
  forbidden_origin: () =>
    'Pages of this origin may not use this server. Its operator adds the origin to DAEHWA_CORS_ORIGINS, or you ask from a program.',
  misdirected_request: () =>
    'This server is not known by the Host of this request. Ask for it by a name that it has, such as localhost on its own machine, or its operator adds the name to DAEHWA_ALLOWED_HOSTS.',
  not_found: (d: { what: string }) => `There is no ${d.what}.`,
  rate_limited: (d: { what: string; limit: number }) =>
    `This key has reached its limit of ${d.what}, which is ${d.limit}. Try again later, or ask the operator for a higher one.`,
  quota_exceeded: (d: { whose: string; limit: number; span: string; used: number; needed: number }) =>
    `${d.whose} may use ${d.limit} tokens a ${d.span}. ${d.used} are used or reserved, and this message may need ${d.needed}, its answer among it. Send a shorter one or a lower max_output_tokens, or wait for the next ${d.span}.`,
  conversation_busy: (d: { waiting: number }) =>
    d.waiting === 0
      ? 'Another message of this conversation is being answered. Try again when that is done.'
      : `${d.waiting} messages of this conversation are waiting already. Try again when some are answered.`,
  history_exists: (d: { turn?: string }) =>
    d.turn === undefined
      ? 'This client has a history, or something else came first: a message, another import, an erasing. Import under a name that has none, or erase it before: DELETE /clients/{name}.'
      : `The turn ${d.turn} is here already: with another client, which DELETE /clients/{name} erases, or before in this export.`,
  compaction_running: () =>
    'Older turns of this conversation are being summarised already. Try again in a moment.',
  turn_cancelled: () => 'This message was cancelled before it was answered.',
  turn_retried: () =>
    'This try of the message failed, and it is being tried again. Ask for the turn anew to follow that.',
  overloaded: () =>
    'The server has as much to do as it can, and has not taken this message. Send it again in a moment.',
  idempotency_key_reused: () =>
    'This Idempotency-Key was sent before with another body. Send a new key with each new message.',
  history_deleted: () =>
    'The history was cleared while this message was being answered, so its answer was dropped.',
  payload_too_large: (d: { limit: number }) => `The body is over ${d.limit} bytes. Send a smaller one.`,
  headers_too_large: () => 'The request line and headers are too large. Send smaller ones.',
  unsupported_media_type: (d?: { type: string }) =>
    `The body must be JSON in UTF-8, not compressed. Send it with the header "Content-Type: ${d?.type ?? 'application/json'}".`,
  request_timeout: () => 'The request did not arrive whole in time. Send it again.',
  upstream_rate_limited: () => 'The upstream is rate limiting this server. Try again later.',
  upstream_error: (d: { detail: string }) => `The upstream failed: ${d.detail}.`,
  upstream_auth: () =>
    'The upstream refused this server: its key is wrong or missing. Its operator must check the key (OPENAI_API_KEY, or what api_key_env names).',
  upstream_bad_response: (d: { detail: string }) =>
    `The upstream sent an answer that cannot be used: ${d.detail}.`,
  upstream_quota: () =>
    'The upstream account of this server has no credit left. Its operator must see to it.',
  upstream_unavailable: (d: { detail: string }) =>
    `The upstream cannot be reached (${d.detail}). Its operator must check the base URL (OPENAI_BASE_URL, or base_url in daehwa.config.json), or it is down for now.`,
  upstream_timeout: (d: { detail: string }) => `The upstream is too slow: ${d.detail}.`,
  storage_unavailable: () => 'The storage of this server cannot be used right now. Try again later.',
  storage_full: () =>
    'The disk of this server is full, and this request was not carried out. Its operator must make room.',
  server_restarted: () => 'The server was restarted while this message was being answered.',
  server_shutting_down: () => 'The server is shutting down. Try again in a moment.',
  internal_error: () =>
    'Something went wrong inside the server. Its log has the details under this request_id.',
} as const

type Wording = typeof wording

export type ErrorCode = keyof Wording

type Details<C extends ErrorCode> = Parameters<Wording[C]>

/**
 * The one error that crosses rooms. `message` is the catalogue's sentence for `code`;
 * `retryAfter`, in whole seconds, says when another try makes sense.
 */
export class DaehwaError extends Error {
  override readonly name = 'DaehwaError'
  readonly code: ErrorCode
  retryAfter: number | undefined
  /** Whether an upstream refuses what was asked, though no code says why: nobody else would take it. */
  refusal = false

  private constructor(code: ErrorCode, message: string) {
    super(message)
    this.code = code
  }

  static of<C extends ErrorCode>(code: C, ...details: Details<C>): DaehwaError {
    const word = wording[code] as (...args: Details<C>) => string
    return new DaehwaError(code, word(...details))
  }

  /** An error that was kept, with the sentence that it had. */
  static restore(kept: { code: ErrorCode; message: string; retryAfter?: number | undefined }): DaehwaError {
    const error = new DaehwaError(kept.code, kept.message)
    error.retryAfter = kept.retryAfter
    return error
  }

  /** Sets `retryAfter` in whole seconds, at least 1. */
  after(seconds: number): this {
    this.retryAfter = Math.max(1, Math.ceil(seconds))
    return this
  }

  /** Sets `refusal`. */
  asRefusal(): this {
    this.refusal = true
    return this
  }
}

/** A value that a caller sent and that cannot be used. `problem` is the whole sentence. */
export const invalid = (problem: string): DaehwaError => DaehwaError.of('invalid_request', { problem })

/** Any error as one of ours; one that nobody foresaw is an `internal_error`. */
export const toDaehwaError = (error: unknown): DaehwaError =>
  error instanceof DaehwaError ? error : DaehwaError.of('internal_error')

/** The code of any error; one that nobody foresaw is an `internal_error`. */
export const codeOf = (error: unknown): ErrorCode =>
  error instanceof DaehwaError ? error.code : 'internal_error'
