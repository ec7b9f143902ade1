import { ConfigError, type Env, text, url } from './values.ts'

/** A collector of OpenTelemetry. */
export interface TracesConfig {
  /** Without a slash at its end. */
  readonly endpoint: string
  readonly headers: Readonly<Record<string, string>>
  readonly serviceName: string
}

/** The names are those of OpenTelemetry's "Environment Variable Specification" and "OTLP Exporter Configuration". */
export function tracesOf(env: Env): TracesConfig | undefined {
  const serviceName = text(env, 'OTEL_SERVICE_NAME') ?? 'daehwa'
  const headers = headersOf(text(env, 'OTEL_EXPORTER_OTLP_HEADERS'))
  const keyGoes = 'OTEL_EXPORTER_OTLP_HEADERS'
  const endpoint = url(env, 'OTEL_EXPORTER_OTLP_ENDPOINT', 'http://localhost:4318', keyGoes)
  return endpoint === undefined ? undefined : Object.freeze({ endpoint, headers, serviceName })
}

/** Its values are never repeated in a message: keys stand there. */
function headersOf(value = ''): Record<string, string> {
  const pairs = value.split(',').filter((pair) => pair.trim() !== '')
  return Object.fromEntries(pairs.map(headerOf))
}

function headerOf(pair: string): [string, string] {
  const [, name = '', encoded = ''] = /^\s*([!#$%&'*+.^_`|~\w-]+)\s*=(.*)$/s.exec(pair) ?? []
  const value = decoded(encoded.trim())
  if (name !== '' && value !== undefined) return [name.toLowerCase(), value]
  throw new ConfigError(
    'OTEL_EXPORTER_OTLP_HEADERS must be name=value, more of them behind commas. Percent-encode what is special in a value: "," is %2C, "%" is %25',
  )
}

/** Undefined for what cannot stand in a header. */
function decoded(value: string): string | undefined {
  try {
    const text = decodeURIComponent(value)
    return /^[\x20-\x7e]+$/.test(text) ? text : undefined
  } catch {
    return undefined
  }
}
