import { startDaehwa, withKey } from '../contenders.ts'
import { compared, type Figures, interleave, type Rounds } from '../interleaved.ts'
import { progress } from '../progress.ts'
import { type Stage, seeded } from '../stage.ts'
import { StoredClients } from '../stored-clients.ts'

const clients = 500
const messages = 20
const sizes = [10_000, 1_000_000]

/** The same clients, in a small database and in a large one. Before each round they get back the history that they had. */
export async function stored(stage: Stage, rounds: Rounds): Promise<(Figures & { messages: number })[]> {
  await using servers = new AsyncDisposableStack()
  const contenders = []
  const asked: StoredClients[] = []
  for (const size of sizes) {
    const data = await seeded(stage, [{ offset: 0, clients: size / messages, messages }])
    const server = servers.use(await startDaehwa(stage, data.dir))
    const request = withKey(data.secret)
    contenders.push({ name: `${size}`, server, load: () => ({ clients, request }) })
    asked.push(await StoredClients.read(server.url, request.headers, clients))
  }
  const slices = await interleave(contenders, rounds, async (round) => {
    if (round === 0) return
    progress('giving the clients back the history that they had')
    for (const one of asked) await one.reset()
  })
  return compared(slices, `${sizes[0]}`).map((figures) => ({ messages: Number(figures.name), ...figures }))
}
