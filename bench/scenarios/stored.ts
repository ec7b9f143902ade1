import { startDaehwa, withKey } from '../contenders.ts'
import { compared, type Figures, interleave, type Rounds, withSets } from '../interleaved.ts'
import { progress } from '../progress.ts'
import { type Stage, seeded } from '../stage.ts'
import { StoredClients } from '../stored-clients.ts'

/** As many as are asked in a round. */
const clients = 500
const messages = 20
const [few, many] = [10_000, 1_000_000]

/**
 * A small database and a large one, asked for as many clients with as many messages. In the large one they are others in each
 * round; in the small one there are no others, so they get back the history that they had.
 */
export async function stored(stage: Stage, rounds: Rounds): Promise<(Figures & { messages: number })[]> {
  await using servers = new AsyncDisposableStack()
  const start = async (size: number) => {
    const data = await seeded(stage, [{ offset: 0, clients: size / messages, messages }])
    return { server: servers.use(await startDaehwa(stage, data.dir)), request: withKey(data.secret) }
  }
  const [small, large] = [await start(few), await start(many)]
  const before = await StoredClients.read(small.server.url, small.request.headers, clients)
  const contenders = [
    { name: `${few}`, server: small.server, load: () => ({ clients, request: small.request }) },
    withSets(`${many}`, large.server, clients, large.request),
  ]
  const slices = await interleave(contenders, rounds, async () => {
    progress('giving clients back the history that they had')
    await before.reset()
  })
  return compared(slices, `${few}`).map((figures) => ({ messages: Number(figures.name), ...figures }))
}
