import { setTimeout as wait } from 'node:timers/promises'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { readAsked, readTold } from '../../src/conversation/channels.ts'
import { Elsewhere } from '../../src/conversation/elsewhere.ts'
import { LiveTurn } from '../../src/conversation/live-turn.ts'
import { recordOf } from '../../src/conversation/new-turn.ts'
import type { Feed } from '../../src/conversation/ports.ts'
import type { Store } from '../../src/conversation/store.ts'
import { Teller } from '../../src/conversation/teller.ts'
import type { TurnRecord } from '../../src/conversation/turn.ts'
import { eventsOf, type TurnEvent } from '../../src/conversation/turn-event.ts'
import { Visits } from '../../src/conversation/visits.ts'
import { silent } from '../../src/feed/silent.ts'
import { someone, turn } from '../contract/samples.ts'
import { measured } from '../support/measured.ts'

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

/** A turn that runs at one instance and is read at another one. What the database is asked is counted. */
function runs(feed: Feed, after = -1) {
  const record = recordOf({ ...turn(someone(), 'hi'), id: 'resp_1' })
  const live = new LiveTurn(record, measured().turn('resp_1', undefined))
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
      kept = { ...live.record, ...progress }
    },
  }
  const visits = new Visits()
  visits.add('resp_1', { key: { tenant: 't', client: 'c' }, abort: new AbortController(), live })
  const deps = {
    store: store as Store,
    feed,
    instance: () => 'a',
    now: Date.now,
    clock: () => performance.now(),
  }
  const teller = new Teller(deps, visits)
  teller.listen(() => {})
  const mirror = new Elsewhere(deps).follow('t', record)
  const events: TurnEvent[] = []
  const read = async () => {
    for await (const some of mirror.follow(after, new AbortController().signal)) events.push(...some)
  }
  const reading = read()
  live.start(2)
  kept = live.record
  /** Ends it, and answers what was read. */
  const end = async () => {
    live.finish()
    kept = { ...live.record, ...live.output, status: 'completed', endedAt: 3 }
    live.end(kept)
    await reading
    return events
  }
  return { live, asked, end }
}

/** What a reader elsewhere gets of a dozen words, and should. */
async function followed(feed: Feed, after = -1) {
  const { live, asked, end } = runs(feed, after)
  for (const word of words) {
    live.add(word)
    await wait(5)
  }
  const events = await end()
  return { events, expected: eventsOf(live.record).slice(after + 1), asked }
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
    for (const channel of ['daehwa:asked', 'daehwa:turn:resp_1:1']) {
      for (const message of ['', 'null', '[]', '{"events":1,"next":"x"}', '{"tell":1}', '{"look":"x"}'])
        feed.tell(channel, message)
    }
  }, 10)
  const { events, expected } = await followed(feed)
  clearInterval(noise)
  expect(events).toEqual(expected)
})

/** A mirror of a turn of which the database says what `kept.record` is; nothing is heard of it. */
function mirrored(feed: Feed = silent) {
  const record = recordOf({ ...turn(someone(), 'hi'), id: 'resp_1' })
  const running: TurnRecord = {
    ...record,
    status: 'in_progress',
    startedAt: 2,
    text: 'one two ',
    pieces: [4, 4],
  }
  const kept = { record: running }
  const store: Partial<Store> = {
    turn: async () => kept.record,
    hasTurn: async () => true,
    markFollowed: async () => {},
  }
  const clock = () => performance.now()
  const elsewhere = new Elsewhere({ store: store as Store, feed, clock, now: Date.now })
  const mirror = elsewhere.follow('t', running)
  const events: TurnEvent[] = []
  const read = async () => {
    for await (const some of mirror.follow(-1, new AbortController().signal)) events.push(...some)
  }
  return { elsewhere, mirror, running, kept, events, reading: read() }
}

it('whoever reads when the server stops is told so, by an event that takes no number away', async () => {
  const { elsewhere, reading, events } = mirrored()
  await wait(50)
  elsewhere.stop()
  await reading
  expect(events.at(-1)).toMatchObject({
    type: 'error',
    sequence_number: 5,
    error: { code: 'server_shutting_down' },
  })
  expect(events.at(-2)).toMatchObject({ sequence_number: 5, delta: 'two ' })
  await elsewhere.unread()
})

it('a try that was begun anew is another one', async () => {
  const { kept, running, reading, events, elsewhere } = mirrored()
  await wait(50)
  kept.record = { ...running, createdAt: running.createdAt + 1, text: 'eins zwei drei ', pieces: [5, 5, 5] }
  await reading
  expect(events.map(({ delta }) => delta).join('')).toBe('one two ')
  expect(events.at(-1)?.response?.error?.code).toBe('turn_retried')
  const { record } = elsewhere.follow('t', kept.record)
  expect(record.text).toBe('eins zwei drei ')
})

it('what was cleared is told no more', async () => {
  const { kept, running, reading, mirror } = mirrored()
  await wait(50)
  const error = { code: 'history_deleted', message: 'x' } as const
  kept.record = { ...running, status: 'cancelled', text: '', pieces: [], error, endedAt: 3 }
  await reading
  expect(await mirror.erased()).toBe(true)
  expect(mirror.behind(-1)).toBe(0)
})

it('a turn says what it is now, to whoever asks', async () => {
  const { kept, running, elsewhere } = mirrored()
  await wait(50)
  kept.record = { ...running, text: 'one two three ', pieces: [4, 4, 6] }
  expect(elsewhere.follow('t', kept.record).record.text).toBe('one two three ')
  elsewhere.stop()
})

it('the output of a turn that goes on is that of one moment', () => {
  const live = new LiveTurn(recordOf(turn(someone(), 'hi')), measured().turn('resp_1', undefined))
  live.add('one ')
  const { text, pieces } = live.output
  live.add('two ')
  expect([text, pieces]).toEqual(['one ', [4]])
})

it.each([
  ['{"tell":"resp_1","createdAt":1,"after":-2}'],
  ['{"tell":"resp_1","createdAt":1,"after":-9e15}'],
  ['{"tell":"resp_1","createdAt":1,"after":1.5}'],
  ['{"tell":"resp_1","after":1}'],
  ['{"look":1}'],
])('%s asks for nothing', (message) => {
  expect(readAsked(message)).toBeUndefined()
})

it.each([
  ['{"events":[null],"next":1}'],
  ['{"events":[{"type":"x","sequence_number":-5}],"next":1}'],
  ['{"events":[{"sequence_number":5}],"next":1}'],
  ['{"events":[],"next":"1"}'],
])('%s tells nothing', (message) => {
  expect(readTold(message)).toBeUndefined()
})

it('one lost message is asked for once, however much comes behind it', async () => {
  const told: string[] = []
  const feed = losing((message) => message === 1)
  const spied: Feed = {
    ...feed,
    tell(channel, message) {
      told.push(channel)
      feed.tell(channel, message)
    },
  }
  const { live, end } = runs(spied)
  for (let n = 0; n < 5_000; n++) live.add('word ')
  const events = await end()
  expect(events.length).toBe(5_008)
  expect(told.filter((channel) => channel === 'daehwa:asked').length).toBeLessThan(6)
})

it('what is too large to be told is read', async () => {
  const { live, end, asked } = runs(losing(() => false))
  live.add('x'.repeat(2 * 1024 * 1024))
  live.add('small')
  await expect.poll(() => asked.writes, { timeout: 3_000 }).toBeGreaterThan(0)
  const events = await end()
  expect(events.filter(({ delta }) => delta !== undefined).map(({ delta }) => delta?.length)).toEqual([
    2097152, 5,
  ])
})
