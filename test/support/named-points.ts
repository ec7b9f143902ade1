import { setTimeout as wait } from 'node:timers/promises'
import type { clientOf, Reply } from './client.ts'
import type { TranscriptUpstream } from './transcript-upstream.ts'

type Client = ReturnType<typeof clientOf>

/** A turn that stands at one point of its way. Its reply, if any comes, is still to be had. */
interface TurnAtPoint {
  readonly input: string
  readonly reply: Promise<Reply | undefined>
  /** Whether both messages are in the history already. */
  readonly committed: boolean
}

/** Brings a new turn of a client to a point and holds it there. `slow` is the client behind a proxy that delays replies. */
type Bring = (
  client: Client,
  name: string,
  upstream: TranscriptUpstream,
  slow: Client,
) => Promise<TurnAtPoint>

const quiet = (reply: Promise<Reply>): Promise<Reply | undefined> => reply.catch(() => undefined)

/** Stands where the upstream stops: after so many pieces of an answer of three, its finish reason being the fourth. */
const stalled =
  (stallAfter: number): Bring =>
  async (client, name, upstream) => {
    const before = upstream.journal.length
    upstream.faults.push({ stallAfter })
    const reply = quiet(client.query(name, 'at the point'))
    await upstream.arrived(before + 1)
    await wait(80)
    return { input: 'at the point', reply, committed: false }
  }

/** The points of a turn's way at which something may happen to it. */
export const namedPoints: Readonly<Record<string, Bring>> = {
  'after accept': async (client, name, upstream) => {
    const ahead = await stalled(0)(client, name, upstream, client)
    const reply = quiet(client.query(name, 'waiting'))
    await wait(80)
    return { input: 'waiting', reply: Promise.all([reply, ahead.reply]).then(([r]) => r), committed: false }
  },
  'after dispatch': stalled(0),
  'in mid-stream': stalled(2),
  'before commit': stalled(4),
  'after commit and before the reply': async (client, name, _upstream, slow) => {
    const { length } = (await client.history(name)).body
    const reply = quiet(slow.query(name, 'at the point'))
    while ((await client.history(name)).body.length === length) await wait(2)
    return { input: 'at the point', reply, committed: true }
  },
}
