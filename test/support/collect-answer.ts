import { LiveTurn } from '../../src/conversation/live-turn.ts'
import { recordOf } from '../../src/conversation/new-turn.ts'
import type { ModelEvent } from '../../src/conversation/ports.ts'
import { measured } from './measured.ts'

/** The whole of an answer, put together as a turn does it. */
export async function collectAnswer(events: AsyncIterable<ModelEvent>) {
  const key = { tenant: 'default', client: 'a' }
  const input = { json: '', tokens: 0, counted: true }
  const live = new LiveTurn(
    recordOf({ id: 'resp_1', owner: 'here', key, input, model: 'm', settings: {}, at: 0 }),
    measured().turn('resp_1', undefined),
  )
  let reasoning = ''
  for await (const event of events) {
    if (event.type === 'reasoning') {
      reasoning += event.text
      continue
    }
    if (event.type === 'finish') {
      live.finish()
      return { ...live.output, reasoning, ...event }
    }
    if (!live.add(event.text)) {
      const cut = { incomplete: 'max_output_bytes', usage: undefined, model: undefined } as const
      return { ...live.output, reasoning, ...cut }
    }
  }
  throw new Error('the events ended without a finish')
}
