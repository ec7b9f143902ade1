import { Agent, type Dispatcher, request } from 'undici'
import { codeOf, DaehwaError, type ErrorCode } from '../conversation/errors.ts'
import type { Observer } from '../conversation/observer.ts'
import type { Finish, Hear, ModelInfo, ModelRequest, Upstream } from '../conversation/ports.ts'
import { parseChatObject } from './chat-completion.ts'
import { type MaxTokensField, maxTokensFieldOf, requestBody } from './chat-request.ts'
import { Exchange } from './exchange.ts'
import { readModelList } from './model-list.ts'
import { readStream, readUpTo, readWhole } from './read-answer.ts'
import { AnswerTimer, type TimeLimits } from './time-limits.ts'
import { networkError, refusal } from './upstream-errors.ts'

export interface UpstreamOptions {
  /** What the operator calls it. */
  readonly name: string
  readonly observer: Observer
  /** Without a slash at its end, as in `https://api.openai.com/v1`. */
  readonly baseUrl: string
  readonly apiKey: string | undefined
  /** The header that bears the bare key, in small letters; undefined: `Authorization: Bearer`. */
  readonly apiKeyHeader?: string | undefined
  /** Headers of every request, their names in small letters. */
  readonly headers?: Readonly<Record<string, string>>
  /** What follows the `?` of every address. */
  readonly query?: Readonly<Record<string, string>>
  readonly limits: TimeLimits
  /** Without it the address decides. */
  readonly maxTokensField?: MaxTokensField | undefined
}

/** How long the list of models may take, in milliseconds, and how much of a refusal is read, in bytes. */
const listTimeout = 10_000
const maxRefusal = 64 * 1024
const maxList = 16 * 1024 * 1024

const chatHeaders = {
  'content-type': 'application/json',
  accept: 'text/event-stream, application/json',
} as const

/**
 * Any API that speaks OpenAI's Chat Completions and Models, over connections that are kept alive. The key goes
 * to `baseUrl` alone: redirects are not followed.
 */
export class OpenAiUpstream implements Upstream, AsyncDisposable {
  readonly #options: UpstreamOptions
  readonly #agent: Agent
  readonly #headers: Readonly<Record<string, string>>
  readonly #query: string
  /** Where answers are asked for, and with which headers, by name and value in turn. */
  readonly #completions: { readonly origin: string; readonly path: string }
  readonly #sent: string[]
  readonly #maxTokensField: MaxTokensField

  constructor(options: UpstreamOptions) {
    this.#options = options
    const connect = { timeout: options.limits.connect }
    // Time is kept by AnswerTimer, which knows tokens from bytes.
    this.#agent = new Agent({ connect, headersTimeout: 0, bodyTimeout: 0, allowH2: false })
    this.#headers = { ...options.headers, ...keyHeader(options) }
    this.#query =
      Object.keys(options.query ?? {}).length === 0 ? '' : `?${new URLSearchParams(options.query)}`
    const { origin, pathname, search } = new URL(this.#address('/chat/completions'))
    this.#completions = { origin, path: pathname + search }
    this.#sent = Object.entries({ ...this.#headers, ...chatHeaders }).flat()
    this.#maxTokensField = options.maxTokensField ?? maxTokensFieldOf(options.baseUrl)
  }

  async answer(ask: ModelRequest, hear: Hear, signal: AbortSignal): Promise<Finish> {
    const { name, baseUrl, limits, observer } = this.#options
    const span = observer.ask(name, baseUrl, ask.model, ask.of)
    const exchange = new Exchange({ sent: () => ask.underway?.(true), read: () => timer.live() })
    const timer = new AnswerTimer(limits, signal, (reason) => exchange.abort(reason))
    let failed: ErrorCode | undefined
    let begun = false
    let whole = false
    const hearing: Hear = (piece) => {
      timer.begin()
      if (!begun) span.begun()
      begun = true
      return hear(piece)
    }
    try {
      await this.#post(exchange, ask, span.traceparent)
      const read = readerOf(exchange)
      const finish = await read(exchange, ask, hearing, timer)
      whole = finish.incomplete !== 'max_output_bytes'
      span.finished(finish)
      return finish
    } catch (error) {
      const reason = timer.stopped === undefined ? (networkError(error) ?? error) : timer.stopped.reason
      failed = codeOf(reason)
      if (!begun && !signal.aborted) ask.underway?.(false)
      throw reason
    } finally {
      timer[Symbol.dispose]()
      span.end(failed)
      exchange.leave(whole)
    }
  }

  async models(): Promise<readonly ModelInfo[] | undefined> {
    const tooSlow = DaehwaError.of('upstream_timeout', {
      detail: `no list of models within ${listTimeout} ms`,
    })
    const abort = new AbortController()
    const timer = setTimeout(() => abort.abort(tooSlow), listTimeout)
    try {
      const options = { dispatcher: this.#agent, headers: this.#headers, signal: abort.signal }
      const { statusCode, headers, body } = await request(this.#address('/models'), options)
      if (statusCode === 404 || statusCode === 405 || statusCode === 501) {
        await body.dump()
        return undefined
      }
      if (statusCode !== 200)
        throw refusal(statusCode, await readRefusal(body), retryAfter(headers), { model: '' })
      return readModelList(await readUpTo(body, maxList))
    } catch (error) {
      if (abort.signal.aborted) throw tooSlow
      throw networkError(error) ?? error
    } finally {
      clearTimeout(timer)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy()
  }

  #address(path: string): string {
    return this.#options.baseUrl + path + this.#query
  }

  async #post(exchange: Exchange, ask: ModelRequest, traceparent: string | undefined): Promise<void> {
    const { origin, path } = this.#completions
    const headers = traceparent === undefined ? this.#sent : [...this.#sent, 'traceparent', traceparent]
    const body = requestBody(ask, this.#maxTokensField)
    await exchange.send(this.#agent, { origin, path, method: 'POST', headers, body })
    if (exchange.status === 200) return
    throw refusal(exchange.status, await readRefusal(exchange), retryAfter(exchange.headers), ask)
  }
}

function keyHeader({ apiKey, apiKeyHeader = 'authorization' }: UpstreamOptions): Record<string, string> {
  if (apiKey === undefined) return {}
  return { [apiKeyHeader]: apiKeyHeader === 'authorization' ? `Bearer ${apiKey}` : apiKey }
}

type Reader = typeof readStream

/** An event stream says what it is; anything else has to be a whole answer as JSON, whatever it is called. */
function readerOf({ headers }: Exchange): Reader {
  return /^text\/event-stream\b/i.test(String(headers['content-type'])) ? readStream : readWhole
}

/** The body of a refusal; where it is no JSON, or too long, its status has to speak for itself. */
async function readRefusal(body: AsyncIterable<Uint8Array>): Promise<unknown> {
  try {
    return parseChatObject(await readUpTo(body, maxRefusal))
  } catch (error) {
    if (error instanceof DaehwaError) return undefined
    throw error
  }
}

function retryAfter(headers: Dispatcher.ResponseData['headers']): string | undefined {
  const value = headers['retry-after']
  return Array.isArray(value) ? value[0] : value
}
