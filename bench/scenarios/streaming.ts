import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { pieces } from '../canned-upstream.ts'
import { startBase, startDaehwa, withKey } from '../contenders.ts'
import type { FirstToken } from '../first-token.ts'
import { allRounds, compared, interleave, type Rounds, repeated } from '../interleaved.ts'
import { median } from '../numbers.ts'
import type { StreamingResult } from '../performance-result.ts'
import { progress } from '../progress.ts'
import { type Stage, seeded, sets } from '../stage.ts'

const connections = 8
const clients = 1_000
/** One after the other to each server; those before are not counted. */
const requests = 600
const warmUp = 200

/** An answer of 200 pieces, that the upstream sends all at once. */
export async function streaming(stage: Stage, rounds: Rounds): Promise<StreamingResult> {
  await using servers = new AsyncDisposableStack()
  const many = allRounds(rounds)
  const data = await seeded(stage, sets(many + 1, clients))
  const upstream = stage.upstream.streamUrl
  const base = servers.use(await startBase(upstream))
  const daehwa = servers.use(await startDaehwa(stage, data.dir, { upstream }))
  const headers = { ...withKey(data.secret).headers, Accept: 'text/event-stream' }
  const slices = await interleave(
    [
      repeated('base', base, { path: '/', bodyFile: stage.body }),
      {
        name: 'daehwa',
        server: daehwa,
        load: (round) => ({ clients, offset: round * clients, request: { headers } }),
      },
    ],
    { ...rounds, connections },
  )
  progress('time to the first token')
  const json = { 'content-type': 'application/json' }
  const [ofBase = [], ofDaehwa = []] = await firstTokens({
    requests: warmUp + requests,
    from: many * clients,
    targets: [
      {
        ...{ url: base.url, path: '/', headers: json },
        body: readFileSync(stage.body, 'utf8'),
        marker: '"content":" train"',
      },
      {
        ...{ url: daehwa.url, path: '/query', headers: { ...headers, ...json } },
        body: JSON.stringify({ client_name: 'client {n}', input: 'Which train?', stream: true }),
        marker: 'response.output_text.delta',
      },
    ],
  })
  const cpu = (of: string) => (compared(slices, 'base').find((one) => one.name === of)?.cpu ?? 0) / pieces
  return {
    requests,
    firstToken: { base: median(ofBase.slice(warmUp)), daehwa: median(ofDaehwa.slice(warmUp)) },
    piece: { base: cpu('base'), daehwa: cpu('daehwa') },
  }
}

async function firstTokens(asked: FirstToken): Promise<number[][]> {
  const script = fileURLToPath(import.meta.resolve('../first-token.ts'))
  const args = ['-c', '1', process.execPath, script, JSON.stringify(asked)]
  return JSON.parse((await promisify(execFile)('taskset', args)).stdout) as number[][]
}
