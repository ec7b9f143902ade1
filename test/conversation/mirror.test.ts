import { setTimeout as wait } from 'node:timers/promises'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { LiveTurn } from '../../src/conversation/live-turn.ts'
import { Mirror } from '../../src/conversation/mirror.ts'
import { recordOf } from '../../src/conversation/new-turn.ts'
import type { Feed } from '../../src/conversation/ports.ts'
import type { Store } from '../../src/conversation/store.ts'
import { Teller } from '../../src/conversation/teller.ts'
import type { TurnRecord } from '../../src/conversation/turn.ts'
import { eventsOf, type TurnEvent } from '../../src/conversation/turn-event.ts'
import { Visits } from '../../src/conversation/visits.ts'
import { silent } from '../../src/feed/silent.ts'
import { someone, turn } from '../contract/samples.ts'

const words = Array.from({ length: 12 }, (_, n) => `word${n} `)

/** A feed within this process, which loses the messages whose number `loses` says. */
function losing(loses: (message: number) => boolean): Feed & { told: number } {
  const heard = new Map<string, Set<(message: string) => void>>()
  return {
    told: 0,
    alive: true,
    tell(channel, message) {
      if (loses(this.told++)) return
      for (const one of heard.get(channel) ?? []) setTimeout(one, 0, message)
    },
    listen(channel, one) {
      const all = heard.get(channel) ?? new Set()
      heard.set(channel, all.add(one))
      return { [Symbol.dispose]: () => void all.delete(one) }
    },
  }
}

/** A turn that runs at one instance, and what its reader at another one gets. What the database is asked is counted. */
async function followed(feed: Feed, after = -1) {
  const record = recordOf({ ...turn(someone(), 'hi'), id: 'resp_1' })
  const live = new LiveTurn(record)
  let kept: TurnRecord = record
  const asked = { marks: 0, writes: 0 }
  const store: Partial<Store> = {
    turn: async () => kept,
    hasTurn: async () => true,
    markFollowed: async () => {
      asked.marks++
      teller.write(['resp_1'])
    },
    keepProgress: async (_turn, progress) => {
      asked.writes++
      kept = { ...live.record, ...progress, pieces: [...progress.pieces] }
    },
  }
  const visits = new Visits()
  visits.add('resp_1', { tenant: 't', abort: new AbortController(), live })
  const deps = { store: store as Store, feed, instance: () => 'a', clock: () => performance.now() }
  const teller = new Teller(deps, visits)
  using _ = teller.listen(() => {})
  const mirror = new Mirror(deps, 't', record, (turn) => turn)
  const events: TurnEvent[] = []
  const reading = (async () => {
    for await (const some of mirror.follow(after, new AbortController().signal)) events.push(...some)
  })()
  live.start(2)
  kept = live.record
  for (const word of words) {
    live.add(word)
    await wait(5)
  }
  live.finish()
  const end = { ...live.record, ...live.output, status: 'completed', endedAt: 3 } as const
  kept = end
  live.end(end)
  await reading
  return { events, expected: eventsOf(end).slice(after + 1), asked, end: await mirror.ended }
}

it('a turn at another instance is told word by word, and the database is not asked for them', async () => {
  const { events, expected, asked } = await followed(losing(() => false))
  expect(events).toEqual(expected)
  expect(asked).toEqual({ marks: 0, writes: 0 })
})

it('whatever messages are lost, all events come once and in order', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.infiniteStream(fc.boolean()),
      fc.integer({ min: -1, max: 20 }),
      async (dice, after) => {
        const { events, expected } = await followed(
          losing(() => dice.next().value === true),
          after,
        )
        expect(events).toEqual(expected)
      },
    ),
    { numRuns: 8 },
  )
}, 60_000)

it('where nothing is heard the words are written down and read', async () => {
  for (const feed of [silent, losing(() => true)]) {
    const { events, expected, asked } = await followed(feed)
    expect(events).toEqual(expected)
    if (feed === silent) expect(asked.marks).toBe(1)
  }
})

it('a message that is none is passed over', async () => {
  const feed = losing(() => false)
  const noise = setInterval(() => {
    for (const channel of ['daehwa:asked', 'daehwa:turn:resp_1']) {
      for (const message of ['', 'null', '[]', '{"events":1,"next":"x"}', '{"tell":1}', '{"look":"x"}'])
        feed.tell(channel, message)
    }
  }, 10)
  const { events, expected } = await followed(feed)
  clearInterval(noise)
  expect(events).toEqual(expected)
})
