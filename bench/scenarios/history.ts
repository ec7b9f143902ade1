import { startDaehwa, withKey } from '../contenders.ts'
import { allRounds, compared, interleave, type Rounds } from '../interleaved.ts'
import { growthPerDoubling, type HistoryResult } from '../performance-result.ts'
import type { Seed } from '../seed.ts'
import { type Stage, seeded } from '../stage.ts'

/** So many clients in a set that their histories hardly grow while they are asked. */
const lengths = [
  { messages: 0, clients: 6_000 },
  { messages: 20, clients: 2_000 },
  { messages: 200, clients: 200 },
  { messages: 2_000, clients: 40 },
]

/** Histories of different lengths in one server. */
export async function history(stage: Stage, rounds: Rounds): Promise<HistoryResult> {
  const many = allRounds(rounds)
  const seeds: Seed[] = []
  let offset = 0
  const kinds = lengths.map(({ messages, clients }) => {
    const first = offset
    seeds.push({ offset, clients: clients * many, messages })
    offset += clients * many
    return { messages, clients, first }
  })
  const data = await seeded(stage, seeds)
  await using server = await startDaehwa(stage, data.dir)
  const contenders = kinds.map(({ messages, clients, first }) => ({
    name: `${messages}`,
    server,
    load: (round: number) => ({
      clients,
      offset: first + round * clients,
      request: withKey(data.secret),
    }),
  }))
  const slices = await interleave(contenders, rounds)
  const longest = compared(slices, '200').find(({ name }) => name === '2000')
  return {
    lengths: compared(slices, '0').map((figures) => ({ messages: Number(figures.name), ...figures })),
    growth: growthPerDoubling(longest?.cpuRatio ?? Number.NaN, 200, 2_000),
  }
}
