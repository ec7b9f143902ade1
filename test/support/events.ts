import { createParser } from 'eventsource-parser'

/** One event of a stream, as it arrived. */
export interface StreamEvent {
  readonly id: number
  readonly event: string
  readonly data: {
    readonly type: string
    readonly sequence_number: number
    readonly delta?: string
    readonly response?: { readonly id: string }
  }
}

export interface EventsRead {
  readonly events: StreamEvent[]
  /** Whether the stream said that it is over. */
  readonly done: boolean
}

/** Reads a stream of events to its end, or until so many have come; then it hangs up. `heard` is called as each one comes. */
export async function readEvents(
  url: string,
  init: RequestInit = {},
  atMost = Number.POSITIVE_INFINITY,
  heard: (event: StreamEvent) => void = () => {},
): Promise<EventsRead> {
  const hangUp = new AbortController()
  const reply = await fetch(url, { ...init, signal: hangUp.signal })
  if (reply.status !== 200) throw new Error(`status ${reply.status}: ${await reply.text()}`)
  const events: StreamEvent[] = []
  let done = false
  const parser = createParser({
    onEvent({ id, event = '', data }) {
      if (data === '[DONE]') {
        done = true
        return
      }
      const one: StreamEvent = { id: Number(id), event, data: JSON.parse(data) }
      events.push(one)
      heard(one)
    },
  })
  for await (const text of (reply.body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream())) {
    parser.feed(text)
    if (events.length >= atMost) break
  }
  hangUp.abort()
  return { events: events.slice(0, atMost), done: done && events.length <= atMost }
}

/** What a client of these events has of the answer. */
export const textOf = (events: readonly StreamEvent[]): string =>
  events.map(({ data }) => (data.type === 'response.output_text.delta' ? data.delta : '')).join('')
