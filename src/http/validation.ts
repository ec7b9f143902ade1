import { Ajv, type ErrorObject } from 'ajv'
import type { FastifySchemaCompiler, FastifySchemaValidationError } from 'fastify'

/**
 * Bodies are taken as they are: a number is not a string. In a query string everything is text, so there what
 * a schema calls a number is read as one.
 */
export function validatorCompiler(): FastifySchemaCompiler<object> {
  const options = { strict: false, verbose: true, useDefaults: true } as const
  const body = new Ajv(options)
  const query = new Ajv({ ...options, coerceTypes: true })
  return ({ schema, httpPart }) => (httpPart === 'body' ? body : query).compile(schema)
}

/** A sentence on what is wrong with a request and what would be right, from the first error of its validation. */
export function describeValidation(
  errors: readonly FastifySchemaValidationError[],
  part: string | undefined,
  schema: unknown,
): string {
  const where = part === 'querystring' ? 'query string' : (part ?? 'request')
  const [error] = errors as readonly ErrorObject[]
  const name = pathOf(error?.instancePath ?? '')
  const place = name === '' ? `The ${where}` : `'${name}'`
  const subject = error?.propertyName === undefined ? place : `A key of ${place}`
  return `${problemOf(error, subject, where)} ${exampleOf(schema, part)}`.trim()
}

function problemOf(error: ErrorObject | undefined, subject: string, where: string): string {
  const params: Readonly<Record<string, unknown>> = error?.params ?? {}
  if (subject === 'The body' && (error?.data ?? null) === null) return 'The request has no body.'
  switch (error?.keyword) {
    case 'required':
      return `The ${where} has no '${String(params['missingProperty'])}'.`
    case 'type':
      return `${subject} must be ${withArticle(String(params['type']))}, and is ${kindOf(error.data)}.`
    case 'additionalProperties':
      return `${subject} has '${String(params['additionalProperty'])}', which is nothing that can be set here.`
    case 'enum':
      return `${subject} must be one of ${(params['allowedValues'] as unknown[]).join(', ')}.`
    case 'minLength':
      return `${subject} is empty.`
    case 'maxLength':
      return `${subject} must have at most ${String(params['limit'])} characters.`
    case 'minItems':
    case 'maxItems':
      return `${subject} must have ${boundOf(error.keyword)} ${entries(params['limit'])}.`
    case 'minimum':
    case 'maximum':
      return `${subject} must be ${boundOf(error.keyword)} ${String(params['limit'])}.`
    default:
      return `${subject} ${error?.message ?? 'is not as the schema says'}.`
  }
}

/** A JSON Pointer (RFC 6901) as people write it. */
const pathOf = (pointer: string): string =>
  pointer.slice(1).replaceAll('/', '.').replaceAll('~1', '/').replaceAll('~0', '~')

const boundOf = (keyword: string): string => (keyword.startsWith('min') ? 'at least' : 'at most')

const entries = (limit: unknown): string => `${String(limit)} ${limit === 1 ? 'entry' : 'entries'}`

/** What a right request looks like, from the `examples` of its schema. */
function exampleOf(schema: unknown, part: string | undefined): string {
  const known = schema as Readonly<Record<string, { examples?: readonly unknown[] } | undefined>> | undefined
  const example = known?.[part ?? '']?.examples?.[0]
  if (example === undefined) return ''
  return part === 'querystring'
    ? `Send, for example, ?${new URLSearchParams(example as Record<string, string>)}`
    : `Send, for example, ${JSON.stringify(example)}`
}

function kindOf(value: unknown): string {
  if (value === undefined) return 'absent'
  if (value === null) return 'null'
  return Array.isArray(value) ? 'an array' : withArticle(typeof value)
}

const withArticle = (noun: string): string =>
  noun === 'null' ? noun : `${/^[aeiou]/.test(noun) ? 'an' : 'a'} ${noun}`
