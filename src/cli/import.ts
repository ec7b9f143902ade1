import { createReadStream, existsSync } from 'node:fs'
import { defineCommand } from 'citty'
import { isEnd } from '../http/read-archive.ts'
import { splitLines } from '../http/split-lines.ts'
import { AdminError, type Ask, asOperator } from './admin.ts'

interface Imported {
  readonly tenant: string
  readonly client_name: string
  readonly messages: number
}

/** `daehwa import`: takes in what was exported, client by client. */
export const importClients = defineCommand({
  meta: { name: 'import', description: 'Take in what export has written, client by client' },
  args: {
    file: { type: 'positional', required: true, description: 'what export has written' },
    tenant: { type: 'string', description: 'whose they will be; without it whose they were' },
  },
  async run({ args: { file, tenant } }) {
    if (!existsSync(file)) throw new AdminError(`there is no file ${file}`)
    const query = tenant === undefined ? '' : `?${new URLSearchParams({ tenant })}`
    const lines = new Clients(splitLines(createReadStream(file)))
    const left = await asOperator(async (ask) => {
      let refused = 0
      for (let n = 1; await lines.next(); n++) {
        if (!(await importOne(ask, `/admin/import${query}`, lines, n))) refused++
      }
      return refused
    })
    if (left > 0) throw new AdminError(`${left} of the clients were not imported, all others were`)
  },
})

/** False when there is a history already: whoever imports again goes on where it was. */
async function importOne(ask: Ask, path: string, lines: Clients, n: number): Promise<boolean> {
  try {
    const made = (await ask('POST', path, lines.current())) as Imported
    process.stdout.write(`${made.tenant}, ${made.client_name}: ${made.messages} messages\n`)
    return true
  } catch (error) {
    if (!(error instanceof AdminError) || error.status !== 409) {
      const reason = error instanceof Error ? error.message : String(error)
      throw new AdminError(`client ${n} of the file: ${reason}`)
    }
    process.stderr.write(`client ${n} of the file: ${error.message}\n`)
    return false
  }
}

/** The lines of a file, client by client. */
class Clients {
  readonly #lines: AsyncIterator<Uint8Array>
  #first: Uint8Array | undefined
  #ended = true

  constructor(lines: AsyncIterable<Uint8Array>) {
    this.#lines = lines[Symbol.asyncIterator]()
  }

  /** Goes to the beginning of the next client, wherever it is in this one; false where there is none. */
  async next(): Promise<boolean> {
    while (!this.#ended) await this.#read()
    do this.#first = await this.#read()
    while (this.#first !== undefined && isCount(this.#first))
    return this.#first !== undefined
  }

  /** The lines of this client, with its last one. */
  async *current(): AsyncGenerator<Uint8Array> {
    for (let line = this.#first; line !== undefined; line = this.#ended ? undefined : await this.#read()) {
      yield Buffer.concat([line, lineBreak])
    }
  }

  async #read(): Promise<Uint8Array | undefined> {
    const { done, value } = await this.#lines.next()
    this.#ended = done === true || endsClient(value)
    return done === true ? undefined : value
  }
}

const lineBreak = Buffer.from('\n')

const isCount = (line: Uint8Array): boolean => Buffer.from(line).toString('latin1').startsWith('{"clients":')

/** What is no JSON is said by the server, which knows the line. */
function endsClient(line: Uint8Array): boolean {
  if (line.length > 1_000) return false
  try {
    return isEnd(JSON.parse(Buffer.from(line).toString()))
  } catch {
    return false
  }
}
