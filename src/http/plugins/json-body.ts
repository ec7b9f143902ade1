import type { FastifyRequest } from 'fastify'
import { DaehwaError, invalid } from '../../conversation/errors.ts'
import { checkText } from '../../conversation/text.ts'
import type { App } from '../app-type.ts'

const maxDepth = 32
const utf8 = new TextDecoder('utf-8', { fatal: true })

/** Takes JSON bodies, and nothing else; what no database or upstream could keep is refused here. */
export function acceptJsonBodies(app: App): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser<Buffer>(
    'application/json',
    { parseAs: 'buffer' },
    ({ headers }: FastifyRequest, body: Buffer, done) => {
      const encoding = headers['content-encoding'] ?? 'identity'
      const charset = /charset="?([^";\s]+)/i.exec(headers['content-type'] ?? '')?.[1] ?? 'utf-8'
      if (encoding !== 'identity' || !/^utf-?8$/i.test(charset))
        throw DaehwaError.of('unsupported_media_type')
      done(null, parseJsonBody(body))
    },
  )
}

/**
 * A JSON body from its bytes; undefined when there are none.
 *
 * @throws DaehwaError `invalid_request` for what is not UTF-8, not JSON, nested over 32 deep, names
 *   `__proto__`, or holds a NUL or half of a surrogate pair
 */
export function parseJsonBody(body: Uint8Array): unknown {
  if (body.length === 0) return undefined
  const value = parse(decode(body))
  checkValue(value, 1)
  return value
}

function decode(body: Uint8Array): string {
  try {
    return utf8.decode(body)
  } catch {
    throw invalid('The body is not valid UTF-8. Encode it as UTF-8.')
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // The parser's own message would quote the body.
    throw invalid('The body is not valid JSON. Send one JSON object, its strings in double quotes.')
  }
}

function checkValue(value: unknown, depth: number): void {
  if (typeof value === 'string') checkText(value)
  if (typeof value !== 'object' || value === null) return
  if (depth > maxDepth) throw invalid(`The body is nested over ${maxDepth} levels deep. Send a flatter one.`)
  if (Array.isArray(value)) {
    for (const inner of value) checkValue(inner, depth + 1)
    return
  }
  for (const key of Object.keys(value)) {
    if (key === '__proto__')
      throw invalid("The body has a key '__proto__', which is never taken. Leave it out.")
    checkText(key)
    checkValue((value as Readonly<Record<string, unknown>>)[key], depth + 1)
  }
}
