import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gunzipSync } from 'node:zlib'
import { onTestFinished } from 'vitest'

export interface Advisory {
  readonly severity: 'low' | 'moderate' | 'high' | 'critical'
  readonly title: string
}

export interface Registry {
  readonly url: string
  /** The packages that were asked about. */
  readonly asked: Set<string>
}

/**
 * A registry of packages that knows advisories alone: npm's bulk endpoint (`POST /-/npm/v1/security/advisories/bulk`).
 * Without advisories it has no such endpoint.
 */
export async function startRegistry(advisories?: Readonly<Record<string, Advisory>>): Promise<Registry> {
  const asked = new Set<string>()
  const server = createServer(async (request, reply) => {
    if (advisories === undefined || request.method !== 'POST') return void reply.writeHead(404).end('{}')
    const chunks = await request.toArray()
    const bytes = Buffer.concat(chunks)
    const body = request.headers['content-encoding'] === 'gzip' ? gunzipSync(bytes) : bytes
    const names = Object.keys(JSON.parse(body.toString()) as object)
    for (const name of names) asked.add(name)
    const known = names.flatMap((name) => {
      const advisory = advisories[name]
      if (advisory === undefined) return []
      const id = names.indexOf(name) + 1
      return [[name, [{ id, url: `http://advisories.test/${id}`, vulnerable_versions: '*', ...advisory }]]]
    })
    reply
      .writeHead(200, { 'content-type': 'application/json' })
      .end(JSON.stringify(Object.fromEntries(known)))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, asked }
}
