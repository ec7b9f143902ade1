/**
 * How long the first piece of an answer takes, through one server after the other. A process of its own, so that it can be
 * kept on one core: what to ask is its argument, the times of each target in milliseconds are its output.
 */
import { Client } from 'undici'

export interface FirstToken {
  readonly targets: readonly Target[]
  readonly requests: number
  /** The number of the first one. */
  readonly from: number
}

interface Target {
  readonly url: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  /** `{n}` in it is the number of the request. */
  readonly body: string
  /** What stands in the first piece. */
  readonly marker: string
}

const { targets, requests, from } = JSON.parse(process.argv[2] ?? '') as FirstToken
const clients = targets.map(({ url }) => new Client(url))
const times: number[][] = targets.map(() => [])
for (let n = from; n < from + requests; n++) {
  for (const [i, target] of targets.entries()) {
    const client = clients[i]
    if (client !== undefined) times[i]?.push(await firstPiece(client, target, n))
  }
}
for (const client of clients) await client.close()
process.stdout.write(JSON.stringify(times))

async function firstPiece(client: Client, target: Target, n: number): Promise<number> {
  const { path, headers, body, marker } = target
  const start = performance.now()
  const reply = await client.request({ path, method: 'POST', headers, body: body.replace('{n}', `${n}`) })
  let said = ''
  let first = 0
  for await (const piece of reply.body) {
    if (first > 0) continue
    said += piece
    if (said.includes(marker)) first = performance.now() - start
  }
  if (first === 0) throw new Error(`${target.url} answered ${reply.statusCode}: ${said}`)
  return first
}
