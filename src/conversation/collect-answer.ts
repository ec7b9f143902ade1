import type { IncompleteReason, Usage } from './conversation.ts'
import { DaehwaError } from './errors.ts'
import type { ModelEvent } from './ports.ts'
import { cleanText } from './text.ts'

/** The largest answer that is kept, in bytes of UTF-8. What comes after it is not read. */
const maxAnswerBytes = 8 * 1024 * 1024

export interface CollectedAnswer {
  readonly text: string
  readonly incomplete: IncompleteReason | undefined
  readonly usage: Usage | undefined
  readonly model: string | undefined
}

/** The whole answer from its events. An answer over 8 MiB is cut there, and says so as `incomplete`. */
export async function collectAnswer(events: AsyncIterable<ModelEvent>): Promise<CollectedAnswer> {
  const parts: string[] = []
  let bytes = 0
  for await (const event of events) {
    if (event.type === 'finish') {
      const { incomplete, usage, model } = event
      return { text: cleanText(parts.join('')), incomplete, usage, model }
    }
    const room = maxAnswerBytes - bytes
    bytes += Buffer.byteLength(event.text)
    if (bytes > maxAnswerBytes) {
      parts.push(firstBytes(event.text, room))
      const text = cleanText(parts.join(''))
      return { text, incomplete: 'max_output_bytes', usage: undefined, model: undefined }
    }
    parts.push(event.text)
  }
  throw DaehwaError.of('upstream_bad_response', { detail: 'it ended without a finish reason' })
}

/** As many whole characters as fit into `count` bytes. */
function firstBytes(text: string, count: number): string {
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(count))
  return text.slice(0, read)
}
