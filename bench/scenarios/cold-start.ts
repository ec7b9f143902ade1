import { readFileSync } from 'node:fs'
import { startDaehwa, startExpress, startPortkey, throughPortkey, withKey } from '../contenders.ts'
import type { Asked } from '../load.ts'
import { median } from '../numbers.ts'
import type { ColdStart } from '../performance-result.ts'
import { progress } from '../progress.ts'
import type { Server } from '../spawn-server.ts'
import type { Seeded, Stage } from '../stage.ts'

const times = 5
/** Milliseconds between two looks whether a server is ready. */
const pause = 2

interface Starter {
  readonly name: string
  readonly start: () => Promise<Server>
  readonly request: Asked
}

/** From the start of a process until it is ready, and has answered a query. */
export async function coldStart(stage: Stage, data: Seeded): Promise<ColdStart[]> {
  const starters: Starter[] = [
    { name: 'empty', start: () => startDaehwa(stage, stage.newDir(), { pause }), request: {} },
    { name: 'seeded', start: () => startDaehwa(stage, data.dir, { pause }), request: withKey(data.secret) },
    { name: 'express', start: () => startExpress(stage, { pause }), request: {} },
    { name: 'portkey', start: () => startPortkey({ pause }), request: throughPortkey(stage) },
  ]
  const measured: ColdStart[] = []
  for (const { name, start, request } of starters) {
    const ready: number[] = []
    const answered: number[] = []
    for (let n = 0; n < times; n++) {
      progress(`cold start: ${name}, ${n + 1} of ${times}`)
      const from = performance.now()
      await using server = await start()
      ready.push(performance.now() - from)
      await ask(server, request)
      answered.push(performance.now() - from)
    }
    measured.push({ name, ready: median(ready), answered: median(answered) })
  }
  return measured
}

async function ask(server: Server, { path = '/query', headers, bodyFile }: Asked): Promise<void> {
  const query = JSON.stringify({ client_name: 'client 0', input: 'Which train goes to Busan?' })
  const reply = await fetch(server.url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: bodyFile === undefined ? query : readFileSync(bodyFile),
  })
  if (!reply.ok) throw new Error(`a first query got ${reply.status}: ${await reply.text()}`)
  await reply.arrayBuffer()
}
