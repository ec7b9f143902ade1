import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { Ajv } from 'ajv'
import addFormats from 'ajv-formats'
import { beforeEach, describe, expect, it } from 'vitest'
import { clientOf, type Reply } from '../support/client.ts'
import { type RunningServer, startServer } from '../support/start-server.ts'
import { startTranscriptUpstream, type TranscriptUpstream } from '../support/transcript-upstream.ts'

interface Schema {
  readonly type?: string
  readonly format?: string
  readonly enum?: readonly unknown[]
  readonly required?: readonly string[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly items?: Schema
  readonly description?: string
}

interface Content {
  readonly content?: { readonly 'application/json': { readonly schema: Schema } }
}

interface Operation {
  readonly operationId: string
  readonly summary: string
  readonly parameters?: readonly { name: string; in: string; required: boolean; schema: Schema }[]
  readonly requestBody?: Content & { readonly required: boolean }
  readonly responses: Readonly<Record<string, Content & { readonly description: string }>>
}

interface Document {
  readonly openapi: string
  readonly servers: readonly { readonly url: string }[]
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
}

const file = resolve(import.meta.dirname, 'fixtures/openapi.json')
const contract = JSON.parse(readFileSync(file, 'utf8')) as Document

const operations = Object.entries(contract.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({
    method,
    path,
    operation,
    name: `${method} ${path}`,
  })),
)

const schemaOf = (content: Content | undefined): Schema | undefined =>
  content?.content?.['application/json'].schema

let server: RunningServer
let upstream: TranscriptUpstream

beforeEach(async () => {
  upstream = await startTranscriptUpstream()
  server = await startServer({ env: { OPENAI_BASE_URL: upstream.baseUrl } })
})

/** Every field of `theirs` is in `ours`, with the same type, format, choices and duty. */
function expectCovers(ours: Schema | undefined, theirs: Schema | undefined, at: string): void {
  if (theirs === undefined) return
  expect(ours?.type, at).toBe(theirs.type)
  expect(ours?.format, at).toBe(theirs.format)
  expect(ours?.enum, at).toEqual(theirs.enum)
  if (theirs.description !== undefined) expect(ours?.description, at).toBe(theirs.description)
  for (const name of theirs.required ?? []) expect(ours?.required, at).toContain(name)
  for (const [name, schema] of Object.entries(theirs.properties ?? {})) {
    expectCovers(ours?.properties?.[name], schema, `${at}.${name}`)
  }
  expectCovers(ours?.items, theirs.items, `${at}[]`)
}

describe('our OpenAPI document', () => {
  it('has every operation, parameter, field and status of the contract, and asks for nothing more', async () => {
    const ours = (await clientOf(server.url).send('GET', '/openapi.json')).body as Document
    expect(ours.openapi).toMatch(/^3\.1\./)
    expect(operations).toHaveLength(6)
    for (const { method, path, operation, name } of operations) {
      const our = ours.paths[path]?.[method]
      expect(our?.operationId, name).toBe(operation.operationId)
      expect(our?.summary, name).toBe(operation.summary)
      for (const parameter of operation.parameters ?? []) {
        const same = our?.parameters?.find((p) => p.name === parameter.name && p.in === parameter.in)
        expect(same?.required, `${name} ${parameter.name}`).toBe(parameter.required)
        expectCovers(same?.schema, { type: parameter.schema.type ?? '' }, `${name} ${parameter.name}`)
      }
      const demanded = our?.parameters?.filter((p) => p.required).map((p) => p.name)
      expect(demanded ?? [], name).toEqual((operation.parameters ?? []).map((p) => p.name))
      expect(our?.requestBody?.required, name).toBe(operation.requestBody?.required)
      expectCovers(schemaOf(our?.requestBody), schemaOf(operation.requestBody), `${name} body`)
      expect(schemaOf(our?.requestBody)?.required?.toSorted(), name).toEqual(
        schemaOf(operation.requestBody)?.required?.toSorted(),
      )
      for (const [status, response] of Object.entries(operation.responses)) {
        expect(our?.responses[status]?.description, `${name} ${status}`).toBe(response.description)
        expectCovers(schemaOf(our?.responses[status]), schemaOf(response), `${name} ${status}`)
      }
    }
  })

  it('names the server as the request does, or as it is set', async () => {
    const asked = await clientOf(server.url, { 'x-forwarded-proto': 'https' }).send('GET', '/openapi.json')
    expect(asked.body.servers).toEqual([{ url: server.url.replace('http:', 'https:') }])
    const plain = await clientOf(server.url).send('GET', '/openapi.json')
    expect(plain.body.servers).toEqual([{ url: server.url }])
    const set = await startServer({ env: { DAEHWA_PUBLIC_URL: 'https://chat.example.com/' } })
    const document = await clientOf(set.url).send('GET', '/openapi.json')
    expect(document.body.servers).toEqual([{ url: 'https://chat.example.com' }])
  })

  it('is a page at /docs that loads nothing from elsewhere', async () => {
    const page = await fetch(`${server.url}/docs/`)
    expect(page.status).toBe(200)
    expect(page.headers.get('content-security-policy')).toMatch(/^default-src 'self'; /)
    const html = await page.text()
    const links = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, link]) => link as string)
    expect(links.length).toBeGreaterThan(3)
    for (const link of links) {
      expect(link).toMatch(/^\.\//)
      expect((await fetch(new URL(link, `${server.url}/docs/`))).status, link).toBe(200)
    }
    expect(await (await fetch(`${server.url}/docs/json`)).json()).toMatchObject({
      servers: [{ url: server.url }],
    })
  })
})

describe('live answers validate against the contract', () => {
  const ajv = new Ajv({ strict: false })
  addFormats.default(ajv)

  function expectValid(path: string, method: string, reply: Reply, status: number): void {
    expect(reply.status, reply.text).toBe(status)
    expect(reply.headers.get('content-type')).toMatch(/^application\/json/)
    const responses = contract.paths[path]?.[method]?.responses
    // The contract describes errors once, as 500; its shape holds for all of them.
    const schema = schemaOf(responses?.[status] ?? responses?.['500']) ?? {}
    expect(ajv.validate(closed(schema), reply.body), JSON.stringify(ajv.errors)).toBe(true)
  }

  /** A schema whose every named field has to be there; without that an empty object would pass. */
  function closed(schema: Schema): Schema {
    const optional = ['parent']
    const { properties, items } = schema
    return {
      ...schema,
      ...(items && { items: closed(items) }),
      ...(properties && {
        required: Object.keys(properties).filter((name) => !optional.includes(name)),
        properties: Object.fromEntries(
          Object.entries(properties).map(([name, inner]) => [name, closed(inner)]),
        ),
      }),
    }
  }

  it('when all goes well', async () => {
    const client = clientOf(server.url)
    expectValid('/models', 'get', await client.send('GET', '/models'), 200)
    expectValid('/model', 'get', await client.model('민수'), 200)
    expectValid('/model', 'post', await client.setModel('민수', 'other'), 200)
    expectValid('/history', 'get', await client.history('민수'), 200)
    expectValid('/query', 'post', await client.query('민수', '안녕'), 200)
    const history = await client.history('민수')
    expectValid('/history', 'get', history, 200)
    expect(history.body).toHaveLength(2)
    expectValid('/history', 'delete', await client.clear('민수'), 200)
  })

  it('when it does not', async () => {
    const client = clientOf(server.url)
    expectValid('/model', 'post', await client.setModel('민수', 'none'), 400)
    expectValid('/model', 'post', await client.send('POST', '/model', {}), 400)
    expectValid('/query', 'post', await client.send('POST', '/query', {}), 400)
    for (const method of ['GET', 'DELETE']) {
      expectValid('/history', method.toLowerCase(), await client.send(method, '/history'), 400)
    }
    expectValid('/model', 'get', await client.send('GET', '/model'), 400)
    upstream.faults.push({ status: 500 }, { status: 500 }, { status: 500 })
    expectValid('/query', 'post', await client.query('민수', '안녕'), 502)
    await upstream.stop()
    expectValid('/query', 'post', await client.query('민수', '안녕'), 503)
    const fresh = await startServer({ env: { OPENAI_BASE_URL: upstream.baseUrl } })
    expectValid('/models', 'get', await clientOf(fresh.url).send('GET', '/models'), 503)
    expectValid('/model', 'get', await clientOf(fresh.url).model('민수'), 503)
  })
})
