import { setTimeout as wait } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { clientOf } from '../support/client.ts'
import { readEvents, textOf } from '../support/events.ts'
import { length } from '../support/full-length.ts'
import { startServer } from '../support/start-server.ts'
import { startTranscriptUpstream } from '../support/transcript-upstream.ts'

it('a client that drops at any point and comes back ends with the text that the history holds', async () => {
  const times = length('drops', { full: 1_000, short: 60 })
  const upstream = await startTranscriptUpstream()
  const { url } = await startServer({ env: { OPENAI_BASE_URL: upstream.baseUrl } })
  const one = async (n: number) => {
    const words = Array.from({ length: 12 }, (_, word) => `말${n}-${word}😀`).join(' ')
    upstream.faults.push({ say: words, pause: 8, byteByByte: n % 20 === 0 })
    const init = {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ input: 'hi', client_name: `client ${n}`, stream: true }),
    }
    let { events, done } = await readEvents(`${url}/query`, init, 1 + Math.floor(Math.random() * 18))
    const id = events[0]?.data.response?.id ?? ''
    while (!done) {
      await wait(Math.random() * 60)
      const from = { headers: { 'last-event-id': String(events.at(-1)?.id) } }
      const more = await readEvents(`${url}/turns/${id}/events`, from, 1 + Math.floor(Math.random() * 12))
      events = [...events, ...more.events]
      done = more.done
    }
    expect(events.map((event) => event.id)).toEqual(events.map((_, number) => number))
    const history = (await clientOf(url).history(`client ${n}`)).body
    expect(textOf(events)).toBe(history[1].content)
  }
  for (let n = 0; n < times; n += 10) await Promise.all(Array.from({ length: 10 }, (_, k) => one(n + k)))
}, 600_000)
