type Headers = Readonly<Record<string, string>>

/** So many are read or taken in at a time. */
const atOnce = 8

/** Clients as they were at some time, and can be again. */
export class StoredClients {
  readonly #url: string
  readonly #headers: Headers
  readonly #exports: ReadonlyMap<string, string>

  private constructor(url: string, headers: Headers, exports: ReadonlyMap<string, string>) {
    this.#url = url
    this.#headers = headers
    this.#exports = exports
  }

  static async read(url: string, headers: Headers, count: number): Promise<StoredClients> {
    const exports = new Map<string, string>()
    const names = Array.from({ length: count }, (_, n) => encodeURIComponent(`client ${n}`))
    await each(names, async (name) => {
      exports.set(name, await (await ok(fetch(`${url}/clients/${name}/export`, { headers }))).text())
    })
    return new StoredClients(url, headers, exports)
  }

  async reset(): Promise<void> {
    await each([...this.#exports], async ([name, body]) => {
      const client = `${this.#url}/clients/${name}`
      await ok(fetch(client, { method: 'DELETE', headers: this.#headers }))
      const headers = { ...this.#headers, 'content-type': 'application/x-ndjson' }
      await (await ok(fetch(`${client}/import`, { method: 'POST', headers, body }))).text()
    })
  }
}

async function ok(asked: Promise<Response>): Promise<Response> {
  const reply = await asked
  if (!reply.ok) throw new Error(`${reply.url}: ${reply.status} ${await reply.text()}`)
  return reply
}

async function each<T>(all: readonly T[], act: (one: T) => Promise<void>): Promise<void> {
  const waiting = all.values()
  const work = async () => {
    for (const one of waiting) await act(one)
  }
  await Promise.all(Array.from({ length: atOnce }, work))
}
