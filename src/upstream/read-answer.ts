import { setImmediate as immediate } from 'node:timers/promises'
import { createParser } from 'eventsource-parser'
import type { Usage } from '../conversation/conversation.ts'
import { DaehwaError } from '../conversation/errors.ts'
import type { Finish, Hear } from '../conversation/ports.ts'
import { type Addition, type ChatObject, finish, parseChatObject, readChatObject } from './chat-completion.ts'
import type { Asked } from './refused-setting.ts'
import { errorInStream } from './upstream-errors.ts'

/** The largest reply, or single event of a stream, that is held in memory: an answer of 8 MiB with its escapes. */
const maxHeld = 16 * 1024 * 1024

/** Who looks after an answer while it is read. */
interface Watch {
  /** The finish reason has come: from there on the bytes may fail, and the answer is none the worse for it. */
  end(): void
  /** @throws why nothing more of it is wanted */
  check(): void
}

const unwatched: Watch = { end() {}, check() {} }

/** What is not read to its end. */
const cut: Finish = { incomplete: 'max_output_bytes', usage: undefined, model: undefined }

/**
 * Reads a streamed answer (`text/event-stream`) from the bytes of the reply, which may be split anywhere; `asked` is for
 * errors to name.
 *
 * @throws DaehwaError `upstream_bad_response` for anything but a stream of chat completion chunks that ends
 *   with a finish reason; what the error event of an upstream maps to
 */
export async function readStream(
  bytes: AsyncIterable<Uint8Array>,
  asked: Asked,
  hear: Hear,
  watch = unwatched,
): Promise<Finish> {
  let end: string | undefined
  let usage: Usage | undefined
  let model: string | undefined
  let begun = false
  const hearing: Hear = (piece) => {
    begun = true
    return hear(piece)
  }
  try {
    for await (const events of eventsOf(bytes)) {
      for (const data of events) {
        if (data === '[DONE]') return ending(end, usage, model)
        const added = read(data, asked)
        const isFirst = !begun
        if (!said(added, hearing)) return cut
        if (isFirst && begun) {
          await immediate() // it goes out before what came with it is read
          watch.check()
        }
        if (added.finishReason !== undefined) {
          end = added.finishReason
          watch.end()
        }
        usage = added.usage ?? usage
        model = added.model ?? model
      }
    }
  } catch (error) {
    // Once the finish reason is here the answer is whole: only the token counts could still be missing.
    if (end === undefined) throw error
  }
  return ending(end, usage, model)
}

/** Reads an answer that came in one piece (`application/json`). */
export async function readWhole(bytes: AsyncIterable<Uint8Array>, asked: Asked, hear: Hear): Promise<Finish> {
  const added = read(await readUpTo(bytes, maxHeld), asked)
  return said(added, hear) ? ending(added.finishReason, added.usage, added.model) : cut
}

/** The `data` of the events that come together. One that the end of the reply cuts short of its empty line counts too. */
async function* eventsOf(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<string[], void, undefined> {
  const decoder = new TextDecoder()
  const events: string[] = []
  let held = true
  const parser = createParser({
    onEvent: (event) => void events.push(event.data),
    onError: (error) => {
      if (error.type === 'max-buffer-size-exceeded') held = false
    },
    maxBufferSize: maxHeld,
  })
  for await (const chunk of bytes) {
    parser.feed(decoder.decode(chunk, { stream: true }))
    if (!held) throw tooLarge()
    if (events.length > 0) yield events.splice(0)
  }
  parser.feed(`${decoder.decode()}\n\n`)
  yield events
}

/** The whole of a body, as text. @throws DaehwaError `upstream_bad_response` when it is over `limit` bytes */
export async function readUpTo(bytes: AsyncIterable<Uint8Array>, limit: number): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of bytes) {
    size += chunk.length
    if (size > limit) throw tooLarge()
    chunks.push(chunk)
  }
  return new TextDecoder().decode(Buffer.concat(chunks)) // which also drops a byte order mark
}

const tooLarge = (): DaehwaError => DaehwaError.of('upstream_bad_response', { detail: 'it is too large' })

function read(data: string, asked: Asked): Addition {
  const object: ChatObject = parseChatObject(data)
  const added = readChatObject(object)
  if (added.error !== undefined) throw errorInStream(added.error, asked)
  if (!Array.isArray(object.choices)) {
    throw DaehwaError.of('upstream_bad_response', { detail: 'it is not a chat completion' })
  }
  return added
}

/** What a model thinks comes before what it says. Tells whether more is wanted. */
function said({ reasoning, text }: Addition, hear: Hear): boolean {
  if (reasoning !== '' && !hear({ type: 'reasoning', text: reasoning })) return false
  return text === '' || hear({ type: 'delta', text })
}

function ending(reason: string | undefined, usage: Usage | undefined, model: string | undefined): Finish {
  if (reason === undefined) {
    throw DaehwaError.of('upstream_bad_response', { detail: 'it ended without a finish reason' })
  }
  return finish(reason, usage, model)
}
