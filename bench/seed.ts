import { Keys } from '../src/conversation/access/keys.ts'
import type { KeyLimits } from '../src/conversation/access/limits.ts'
import { type ArchivedTurn, importClient } from '../src/conversation/archive.ts'
import { newId } from '../src/conversation/ids.ts'
import { answerId } from '../src/conversation/turn-event.ts'
import { openStorage } from '../src/storage/open-storage.ts'
import { progress } from './progress.ts'

/** Clients that have a history from the start. */
export interface Seed {
  /** The number of the first. */
  readonly offset: number
  readonly clients: number
  readonly messages: number
}

/** So many are written at once, which is one transaction. */
const atOnce = 250
/** Together as long as the upstream's answer and the question to it. */
const question = 'Which train goes to Busan this evening, please?'
const answer =
  'The last direct train to Busan leaves Seoul at 22:50 and arrives at 01:27. Earlier ones leave every half hour; the one at 19:00 still has seats. If you would like to sit by the window, say so and I will look. Have a good trip there!'

/** Messages as the histories of the clients have them, for servers that are sent the whole of it with each request. */
export const messages = (count: number): { role: string; content: string }[] =>
  Array.from({ length: count }, (_, n) =>
    n % 2 === 0 ? { role: 'user', content: question } : { role: 'assistant', content: answer },
  )

/** Every limit there is, so high that nothing reaches it: they are all looked after. */
const limits: Required<KeyLimits> = {
  requests_per_minute: 1e9,
  turns_at_once: 1e9,
  tokens_per_day: 1e12,
  tokens_per_month: 1e13,
  client_tokens_per_day: 1e12,
}
const tenant = 'acme'

/** Makes a database in a folder, with clients that have a history. Answers the secret of a key that has limits. */
export async function seed(dir: string, seeds: readonly Seed[]): Promise<string> {
  await using storage = await openStorage({ dir, durability: 'normal', now: Date.now() })
  const { store } = storage
  for (const { offset, clients, messages } of seeds) {
    for (let at = 0; at < clients; at += atOnce) {
      progress(`making clients with ${messages} messages: ${at} of ${clients}`)
      const many = Math.min(atOnce, clients - at)
      const imports = Array.from({ length: many }, (_, n) =>
        importClient(
          { store, now: Date.now },
          { tenant, client: `client ${offset + at + n}` },
          { settings: {}, createdAt: Date.now(), summary: undefined },
          turns(messages / 2),
        ),
      )
      await Promise.all(imports)
    }
  }
  const keys = new Keys({ store, now: Date.now, clock: () => performance.now() })
  return (await keys.create({ tenant, limits })).secret
}

async function* turns(count: number): AsyncGenerator<ArchivedTurn> {
  for (let n = 0; n < count; n++) {
    const at = Date.now()
    const turnId = newId('resp', at)
    yield {
      question: { role: 'user', content: question, at, turnId, id: newId('msg', at) },
      answer: {
        ...{ role: 'assistant', content: answer, at, turnId, id: answerId(turnId) },
        model: 'canned',
      },
    }
  }
}
