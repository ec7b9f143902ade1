import { startBase, startDaehwa, withKey } from '../contenders.ts'
import { allRounds, compared, type Figures, interleave, type Rounds, repeated } from '../interleaved.ts'
import { clients } from '../load.ts'
import { copyOf, type Stage, seeded, sets } from '../stage.ts'

const levels = [1, 32, 256]

/** More and fewer requests at a time, each with clients of its own. */
export async function concurrency(
  stage: Stage,
  rounds: Rounds,
): Promise<(Figures & { connections: number })[]> {
  await using servers = new AsyncDisposableStack()
  const many = allRounds(rounds)
  const data = await seeded(stage, sets(many * levels.length, clients))
  const base = servers.use(await startBase(stage.upstream.baseUrl))
  const full = servers.use(await startDaehwa(stage, data.dir))
  const normal = servers.use(await startDaehwa(stage, copyOf(stage, data), { durability: 'normal' }))
  const all: (Figures & { connections: number })[] = []
  for (const [level, connections] of levels.entries()) {
    const load = (round: number) => ({
      offset: (level * many + round) * clients,
      request: withKey(data.secret),
    })
    const slices = await interleave(
      [
        repeated('base', base, { path: '/', bodyFile: stage.body }),
        { name: 'full', server: full, load },
        { name: 'normal', server: normal, load },
      ],
      { ...rounds, connections },
    )
    all.push(...compared(slices, 'base').map((figures) => ({ connections, ...figures })))
  }
  return all
}
