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
  readonly output: OutputItem[]
  readonly usage: Usage | null
  readonly error: { readonly code: string; readonly message: string } | null
  readonly incomplete_details: { readonly reason: string } | null
}

type OutputItem = OutputMessage | ReasoningItem

/** What a model thought aloud, whole. */
interface ReasoningItem {
  readonly id: string
  readonly type: 'reasoning'
  readonly summary: []
  readonly content: { readonly type: 'reasoning_text'; readonly text: string }[]
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
  readonly item?: OutputItem
  readonly part?: OutputText
  readonly delta?: string
  readonly text?: string
  readonly error?: {
    readonly type: string
    readonly code: string
    readonly message: string
    readonly param: null
  }
}

/** The id of a turn's answer, which is known before it is kept. */
export const answerId = (turnId: string): string => turnId.replace(/^resp_/, 'msg_')

/** The id of what a model thought aloud in a turn. */
export const reasoningId = (turnId: string): string => turnId.replace(/^resp_/, 'rs_')

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
    output: outputOf(turn, done ? status : 'incomplete', done || turn.text !== ''),
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
  readonly #itemId: string
  #opened = false
  /** Where the answer stands in the turn's output. */
  #place = { output_index: 0, content_index: 0 }

  constructor(turn: TurnRecord) {
    this.#id = turn.id
    this.#itemId = answerId(turn.id)
    this.#add('response.created', { response: responseObject(unstarted(turn)) })
  }

  start(turn: TurnRecord): void {
    const response = responseObject({ ...unstarted(turn), status: 'in_progress' })
    this.#add('response.in_progress', { response })
  }

  /** A piece of the answer; `reasoning` is what the model had thought aloud before the first one. */
  piece(delta: string, reasoning: string): void {
    this.#open(reasoning)
    this.#add('response.output_text.delta', { item_id: this.#itemId, ...this.#place, delta })
  }

  end(turn: TurnRecord): void {
    if (turn.status === 'completed' || turn.status === 'incomplete') this.#close(turn.status, turn)
    const type = turn.status === 'cancelled' ? 'failed' : turn.status
    this.#add(`response.${type}`, { response: responseObject(turn) })
  }

  #open(reasoning: string): void {
    if (this.#opened) return
    this.#opened = true
    if (reasoning !== '') {
      const thought = reasoningItem(this.#id, reasoning)
      this.#add('response.output_item.added', { output_index: 0, item: { ...thought, content: [] } })
      this.#add('response.output_item.done', { output_index: 0, item: thought })
      this.#place = { output_index: 1, content_index: 0 }
    }
    const { output_index } = this.#place
    const item = { ...message(this.#id, 'in_progress', ''), content: [] }
    this.#add('response.output_item.added', { output_index, item })
    this.#add('response.content_part.added', { item_id: item.id, ...this.#place, part: outputText('') })
  }

  #close(status: 'completed' | 'incomplete', { text, reasoning }: TurnRecord): void {
    this.#open(reasoning)
    const { output_index } = this.#place
    const item = message(this.#id, status, text)
    this.#add('response.output_text.done', { item_id: item.id, ...this.#place, text })
    this.#add('response.content_part.done', { item_id: item.id, ...this.#place, part: outputText(text) })
    this.#add('response.output_item.done', { output_index, item })
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
    events.piece(turn.text.slice(at, at + length), turn.reasoning)
    at += length
  }
  if (isEnded(turn.status)) events.end(turn)
  return events.list
}

/** The output of a turn: what was thought aloud, then the answer. */
function outputOf(turn: TurnRecord, status: OutputMessage['status'], begun: boolean): OutputItem[] {
  const thought = turn.reasoning === '' ? [] : [reasoningItem(turn.id, turn.reasoning)]
  return begun ? [...thought, message(turn.id, status, turn.text)] : thought
}

const reasoningItem = (turnId: string, text: string): ReasoningItem => ({
  id: reasoningId(turnId),
  type: 'reasoning',
  summary: [],
  content: [{ type: 'reasoning_text', text }],
})

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
    reasoning: '',
    pieces: [],
    usage: undefined,
    incomplete: undefined,
  },
  ...{ error: undefined, endedAt: undefined },
})
