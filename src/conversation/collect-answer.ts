import { DaehwaError } from './errors.ts'
import type { LiveTurn } from './live-turn.ts'
import type { ModelEvent } from './ports.ts'

export type Finish = Extract<ModelEvent, { type: 'finish' }>

/** Hands the pieces of an answer to the turn's followers. An answer over 8 MiB is cut there, and says so. */
export async function collect(events: AsyncIterable<ModelEvent>, live: LiveTurn): Promise<Finish> {
  for await (const event of events) {
    if (event.type === 'finish') {
      live.finish()
      return event
    }
    const fits = event.type === 'reasoning' ? live.think(event.text) : live.add(event.text)
    if (!fits) return { type: 'finish', incomplete: 'max_output_bytes', usage: undefined, model: undefined }
  }
  throw DaehwaError.of('upstream_bad_response', { detail: 'it ended without a finish reason' })
}
