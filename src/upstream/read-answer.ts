import { createParser } from 'eventsource-parser'
import type { Usage } from '../conversation/conversation.ts'
import { DaehwaError } from '../conversation/errors.ts'
import type { ModelEvent } from '../conversation/ports.ts'
import { type ChatObject, finish, type Piece, parseChatObject, readChatObject } from './chat-completion.ts'
import type { Asked } from './refused-setting.ts'
import { errorInStream } from './upstream-errors.ts'

/** The largest reply, or single event of a stream, that is held in memory: an answer of 8 MiB with its escapes. */
const maxHeld = 16 * 1024 * 1024

/**
 * The events of a streamed answer (`text/event-stream`) from the bytes of the reply, which may be split
 * anywhere; `asked` is for errors to name. Ends with `finish`. `whole` is called when the
 * finish reason has come: from there on the bytes may fail, and the answer is none the worse for it.
 *
 * @throws DaehwaError `upstream_bad_response` for anything but a stream of chat completion chunks that ends
 *   with a finish reason; what the error event of an upstream maps to
 */
export async function* readStream(
  bytes: AsyncIterable<Uint8Array>,
  asked: Asked,
  whole: () => void = () => {},
): AsyncGenerator<ModelEvent, void, undefined> {
  let end: { reason: string } | undefined
  let usage: Usage | undefined
  let model: string | undefined
  try {
    for await (const data of dataOf(bytes)) {
      if (data === '[DONE]') break
      const piece = read(data, asked)
      yield* said(piece)
      if (piece.finishReason !== undefined) {
        end = { reason: piece.finishReason }
        whole()
      }
      usage = piece.usage ?? usage
      model = piece.model ?? model
    }
  } catch (error) {
    // Once the finish reason is here the answer is whole: only the token counts could still be missing.
    if (end === undefined) throw error
  }
  yield* ending(end, usage, model)
}

/** The events of an answer that came in one piece (`application/json`). */
export async function* readWhole(
  bytes: AsyncIterable<Uint8Array>,
  asked: Asked,
): AsyncGenerator<ModelEvent, void, undefined> {
  const piece = read(await readUpTo(bytes, maxHeld), asked)
  yield* said(piece)
  yield* ending(
    piece.finishReason === undefined ? undefined : { reason: piece.finishReason },
    piece.usage,
    piece.model,
  )
}

/** The `data` of each event. One that the end of the reply cuts short of its empty line counts too. */
async function* dataOf(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<string, void, undefined> {
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
    yield* events.splice(0)
  }
  parser.feed(`${decoder.decode()}\n\n`)
  yield* events
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

function read(data: string, asked: Asked): Piece {
  const object: ChatObject = parseChatObject(data)
  const piece = readChatObject(object)
  if (piece.error !== undefined) throw errorInStream(piece.error, asked)
  if (!Array.isArray(object.choices)) {
    throw DaehwaError.of('upstream_bad_response', { detail: 'it is not a chat completion' })
  }
  return piece
}

/** What a model thinks comes before what it says. */
function* said({ reasoning, text }: Piece): Generator<ModelEvent, void, undefined> {
  if (reasoning !== '') yield { type: 'reasoning', text: reasoning }
  if (text !== '') yield { type: 'delta', text }
}

function* ending(end: { reason: string } | undefined, usage: Usage | undefined, model: string | undefined) {
  if (end === undefined) {
    throw DaehwaError.of('upstream_bad_response', { detail: 'it ended without a finish reason' })
  }
  yield finish(end.reason, usage, model)
}
