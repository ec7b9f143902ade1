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
  const name = error?.instancePath.slice(1).replaceAll('/', '.') ?? ''
  const subject = name === '' ? `The ${where}` : `'${name}'`
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
    case 'minLength':
      return `${subject} is empty.`
    case 'minimum':
    case 'maximum':
      return `${subject} must be at ${error.keyword === 'minimum' ? 'least' : 'most'} ${String(params['limit'])}.`
    default:
      return `${subject} ${error?.message ?? 'is not as the schema says'}.`
  }
}

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
