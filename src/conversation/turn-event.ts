import type { Usage } from './conversation.ts'
import { isEnded, type TurnRecord, type TurnStatus } from './turn.ts'

/** A turn as Open Responses shows it ("The response object"); times are Unix seconds. */
export interface ResponseObject {
  readonly id: string
  readonly object: 'response'
  readonly created_at: number
  readonly completed_at: number | null
  readonly status: TurnStatus
  readonly model: string
  readonly output: OutputMessage[]
  readonly usage: Usage | null
  readonly error: { readonly code: string; readonly message: string } | null
  readonly incomplete_details: { readonly reason: string } | null
}

interface OutputMessage {
  readonly id: string
  readonly type: 'message'
  readonly role: 'assistant'
  readonly status: 'in_progress' | 'completed' | 'incomplete'
  readonly content: OutputText[]
}

interface OutputText {
  readonly type: 'output_text'
  readonly text: string
  readonly annotations: []
}

/** One event of a turn's stream as in Open Responses ("Streaming"). Numbers count from 0 without a gap. */
export interface TurnEvent {
  readonly type: string
  readonly sequence_number: number
  readonly response?: ResponseObject
  readonly item_id?: string
  readonly output_index?: number
  readonly content_index?: number
  readonly item?: OutputMessage
  readonly part?: OutputText
  readonly delta?: string
  readonly text?: string
}

/** The id of a turn's answer, which is known before it is kept. */
export const answerId = (turnId: string): string => turnId.replace(/^resp_/, 'msg_')

/** A turn as an API shows it. */
export function responseObject(turn: TurnRecord): ResponseObject {
  const { id, status, model, createdAt, endedAt } = turn
  const done = status === 'completed' || status === 'incomplete'
  return {
    id,
    object: 'response',
    created_at: Math.floor(createdAt / 1000),
    completed_at: endedAt === undefined ? null : Math.floor(endedAt / 1000),
    status,
    model,
    output: done || turn.text !== '' ? [message(id, done ? status : 'incomplete', turn.text)] : [],
    usage: turn.usage ?? null,
    error: turn.error === undefined ? null : { code: turn.error.code, message: turn.error.message },
    incomplete_details: turn.incomplete === undefined ? null : { reason: turn.incomplete },
  }
}

/**
 * The events of one turn, made step by step while it runs, or at once from its record: the steps are the same, so
 * a follower cannot tell the difference.
 */
export class TurnEvents {
  readonly list: TurnEvent[] = []
  readonly #id: string
  #opened = false

  constructor(turn: TurnRecord) {
    this.#id = turn.id
    this.#add('response.created', { response: responseObject(unstarted(turn)) })
  }

  start(turn: TurnRecord): void {
    const response = responseObject({ ...unstarted(turn), status: 'in_progress' })
    this.#add('response.in_progress', { response })
  }

  piece(delta: string): void {
    this.#open()
    this.#add('response.output_text.delta', { item_id: answerId(this.#id), ...first, delta })
  }

  end(turn: TurnRecord): void {
    if (turn.status === 'completed' || turn.status === 'incomplete') this.#close(turn.status, turn.text)
    const type = turn.status === 'cancelled' ? 'failed' : turn.status
    this.#add(`response.${type}`, { response: responseObject(turn) })
  }

  #open(): void {
    if (this.#opened) return
    this.#opened = true
    const item = { ...message(this.#id, 'in_progress', ''), content: [] }
    this.#add('response.output_item.added', { output_index: 0, item })
    this.#add('response.content_part.added', { item_id: item.id, ...first, part: outputText('') })
  }

  #close(status: 'completed' | 'incomplete', text: string): void {
    this.#open()
    const item = message(this.#id, status, text)
    this.#add('response.output_text.done', { item_id: item.id, ...first, text })
    this.#add('response.content_part.done', { item_id: item.id, ...first, part: outputText(text) })
    this.#add('response.output_item.done', { output_index: 0, item })
  }

  #add(type: string, fields: Omit<TurnEvent, 'type' | 'sequence_number'>): void {
    this.list.push({ type, sequence_number: this.list.length, ...fields })
  }
}

/** The events of a turn from its record, with the numbers that they bore when it ran. */
export function eventsOf(turn: TurnRecord): readonly TurnEvent[] {
  const events = new TurnEvents(turn)
  if (turn.startedAt !== undefined) events.start(turn)
  let at = 0
  for (const length of turn.pieces) {
    events.piece(turn.text.slice(at, at + length))
    at += length
  }
  if (isEnded(turn.status)) events.end(turn)
  return events.list
}

const first = { output_index: 0, content_index: 0 } as const

const outputText = (text: string): OutputText => ({ type: 'output_text', text, annotations: [] })

const message = (turnId: string, status: OutputMessage['status'], text: string): OutputMessage => ({
  id: answerId(turnId),
  type: 'message',
  role: 'assistant',
  status,
  content: [outputText(text)],
})

/** A turn as it was when it was accepted. */
const unstarted = (turn: TurnRecord): TurnRecord => ({
  ...turn,
  ...{
    status: 'queued',
    model: turn.askedModel,
    text: '',
    pieces: [],
    usage: undefined,
    incomplete: undefined,
  },
  ...{ error: undefined, endedAt: undefined },
})
