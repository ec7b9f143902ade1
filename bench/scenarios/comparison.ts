import {
  startBase,
  startDaehwa,
  startExpress,
  startFastApi,
  startPortkey,
  throughPortkey,
  withKey,
} from '../contenders.ts'
import {
  allRounds,
  type Contender,
  compared,
  type Figures,
  interleave,
  type Rounds,
  repeated,
  withSets,
} from '../interleaved.ts'
import { clients } from '../load.ts'
import { copyOf, type Seeded, type Stage, seeded, sets } from '../stage.ts'

export interface Comparison {
  readonly comparison: readonly Figures[]
  readonly overExpress: number
  /** The database that Daehwa had. */
  readonly data: Seeded
}

/** Everybody in one run. */
export async function comparison(stage: Stage, rounds: Rounds): Promise<Comparison> {
  await using servers = new AsyncDisposableStack()
  const data = await seeded(stage, sets(allRounds(rounds), clients))
  const whole = { path: '/', bodyFile: stage.body }
  const contenders: Contender[] = [
    repeated('base', servers.use(await startBase(stage.upstream.baseUrl)), whole),
  ]
  for (const durability of ['full', 'normal'] as const) {
    const server = servers.use(await startDaehwa(stage, copyOf(stage, data), { durability }))
    contenders.push(withSets(durability, server, clients, withKey(data.secret)))
  }
  contenders.push(withSets('express', servers.use(await startExpress(stage)), clients, {}))
  contenders.push(repeated('portkey', servers.use(await startPortkey()), throughPortkey(stage)))
  const fastApi = await startFastApi(stage)
  if (fastApi !== undefined) contenders.push(withSets('fastapi', servers.use(fastApi), clients, {}))
  const slices = await interleave(contenders, rounds)
  const full = compared(slices, 'express').find(({ name }) => name === 'full')
  return {
    comparison: compared(slices, 'base'),
    overExpress: full?.throughputRatio ?? Number.NaN,
    data,
  }
}
