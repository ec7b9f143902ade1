import type { Finish } from '../conversation/ports.ts'
import type { TurnRecord } from '../conversation/turn.ts'

/** Where spans go. What is in them follows OpenTelemetry's "Semantic Conventions" for HTTP and for generative AI. */
export interface Traces {
  /** Begins a span; `of` is the one that it is a part of, or a header `traceparent` as somebody sent it. */
  start(span: NewSpan, of: Traced | string | undefined): Traced
}

export interface Traced {
  readonly traceparent: string
  set(attributes: Attributes): void
  /** `error` is a word for how it ended, where it did not end well; `bad`: whether that is a failure. */
  end(error?: string, bad?: boolean): void
}

export interface NewSpan {
  readonly name: string
  readonly kind?: 'server' | 'client'
  readonly attributes?: Attributes
}

type Attributes = Readonly<Record<string, string | number | string[]>>

/** Without the path and the query, which the conventions ask for: names of clients stand there. */
export const request = (method: string, route: string | undefined): NewSpan => ({
  name: `${method === '_OTHER' ? 'HTTP' : method}${route === undefined ? '' : ` ${route}`}`,
  kind: 'server',
  attributes: {
    'http.request.method': method,
    'url.scheme': 'http',
    ...(route !== undefined && { 'http.route': route }),
  },
})

export const turn = (id: string): NewSpan => ({ name: 'turn', attributes: { 'daehwa.turn.id': id } })

export const turnEnd = ({ status }: TurnRecord): Attributes => ({ 'daehwa.turn.status': status })

/** The provider is the one whose API it speaks; `daehwa.upstream` is what the operator calls it. */
export function ask(upstream: string, address: string, model: string): NewSpan {
  const { protocol, hostname, port } = new URL(address)
  return {
    name: `chat ${model}`,
    kind: 'client',
    attributes: {
      'gen_ai.operation.name': 'chat',
      'gen_ai.provider.name': 'openai',
      'gen_ai.request.model': model,
      'server.address': hostname,
      'server.port': Number(port) || (protocol === 'https:' ? 443 : 80),
      'daehwa.upstream': upstream,
    },
  }
}

const finishReasons = {
  max_output_tokens: 'length',
  max_output_bytes: 'length',
  content_filter: 'content_filter',
} as const

export const finishOf = ({ incomplete, usage, model }: Finish): Attributes => ({
  'gen_ai.response.finish_reasons': [incomplete === undefined ? 'stop' : finishReasons[incomplete]],
  ...(model !== undefined && { 'gen_ai.response.model': model }),
  ...(usage !== undefined && {
    'gen_ai.usage.input_tokens': usage.input_tokens,
    'gen_ai.usage.output_tokens': usage.output_tokens,
  }),
})
