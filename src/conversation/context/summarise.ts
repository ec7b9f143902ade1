import { answerOf, firstThatAnswers, type Upstreams } from '../ask.ts'
import type { ConversationState } from '../client.ts'
import { type Compaction, messageJson, type PastItem } from '../conversation.ts'
import { DaehwaError } from '../errors.ts'
import { newId } from '../ids.ts'
import type { Target } from '../model-catalog.ts'
import type { Observer } from '../observer.ts'
import type { CountTokens, Finish, Hear, Log, Now } from '../ports.ts'
import type { PastStore } from '../store.ts'
import { cleanText } from '../text.ts'
import type { UsageStore } from '../usage.ts'
import { roomForTurns } from './context-window.ts'
import { contentOf, exact, farTooLong, tokensOf, uncounted } from './sizes.ts'
import { summaryMessage, summaryRequest, summaryText } from './summary-prompt.ts'

export interface SummaryDeps {
  readonly past: PastStore
  readonly ledger: Pick<UsageStore, 'chargeSummary'>
  readonly upstreams: Upstreams
  readonly countTokens: CountTokens
  readonly now: Now
  readonly log: Log
  readonly observer: Observer
}

export interface SummaryOrder {
  readonly state: ConversationState
  /** The summary that the new one takes in and replaces. */
  readonly previous: Compaction | undefined
  /** The turns to take in: `from <= seq < to`. */
  readonly from: number
  readonly to: number
  /** Who is asked. */
  readonly targets: readonly Target[]
  /** How long the summary may be, in tokens. */
  readonly size: number
}

/** Roughly how many words a token is, on the safe side. */
const wordsPerToken = 0.5
/** A summary so many times longer than it was to be is no summary. */
export const tolerance = 2
/** More UTF-16 units to a token no text has on an average: what is longer need not be read on. */
const mostPerToken = 16

/**
 * Summarises as many turns as the summarising model can read at once, from the oldest on: its answer says how far it
 * got. One turn that is too long for it alone is cut in the middle.
 *
 * @throws DaehwaError what the upstream throws; `upstream_bad_response` for what is no summary
 */
export async function summarise(
  deps: SummaryDeps,
  order: SummaryOrder,
  signal: AbortSignal,
): Promise<Compaction> {
  const { targets, size, state } = order
  const words = Math.max(30, Math.floor(size * wordsPerToken))
  const [first] = targets
  if (first === undefined) throw new Error('nobody is there to summarise')
  const answer = Math.min(first.limits.answer, size * tolerance)
  const roomBeside = async (before: Compaction | undefined) => {
    const empty = summaryRequest(before, [], words).map((json) => ({ json, tokens: 0, counted: false }))
    const counted = await Promise.all(empty.map((message) => exact(message, deps.countTokens)))
    return roomForTurns(
      { ...first.limits, answer },
      counted.map(({ tokens }) => tokens),
    )
  }
  // A summary that was made for a larger model may fill the window of this one.
  const previous = order.previous && fitting(order.previous, await roomBeside(undefined))
  const room = await roomBeside(previous)
  const { items, to } = await itemsThatFit(deps, order, room)
  const request = {
    messages: summaryRequest(previous, items, words),
    settings: { max_output_tokens: answer },
  }
  let model = first.name
  const attempt = (target: Target, hear: Hear) => {
    model = target.name
    return answerOf(deps.upstreams, target, request, hear, signal)
  }
  let text = ''
  const hear: Hear = (piece) => {
    if (piece.type === 'delta') text += piece.text
    return text.length <= size * tolerance * mostPerToken
  }
  let finish: Finish | undefined
  try {
    finish = await firstThatAnswers(targets, first, attempt, hear, deps, signal)
    if (finish.incomplete !== undefined) throw noSummary()
  } finally {
    if (text !== '') {
      const { tenant, conversation } = state
      const { usage } = finish ?? {}
      const input = usage?.input_tokens ?? (await deps.countTokens(request.messages.join('\n')))
      const output = usage?.output_tokens ?? (await deps.countTokens(text))
      await deps.ledger.chargeSummary({ tenant, conversation, model, input, output, at: deps.now() })
    }
  }
  const made = uncounted('system', '')
  const summary = await exact({ ...made, json: summaryMessage(cleanText(text)) }, deps.countTokens)
  if (text.trim() === '' || summary.tokens > size * tolerance) {
    throw noSummary()
  }
  const fromSeq = previous?.fromSeq ?? state.firstSeq
  return { ...summary, id: newId('cmp', deps.now()), fromSeq, toSeq: to, model, at: deps.now() }
}

const noSummary = (): DaehwaError =>
  DaehwaError.of('upstream_bad_response', { detail: 'a summary that is empty, cut off or far too long' })

/** A summary that takes half of the room at the most, so that there is some for what comes after it. */
function fitting(summary: Compaction, room: number): Compaction {
  const share = room / 2 / summary.tokens
  return share >= 1
    ? summary
    : { ...summary, json: summaryMessage(withoutMiddle(summaryText(summary), share)) }
}

async function itemsThatFit(
  { past, countTokens }: SummaryDeps,
  { state, from, to }: SummaryOrder,
  room: number,
): Promise<{ items: PastItem[]; to: number }> {
  const items: PastItem[] = []
  let left = room
  let seq = from
  for (; seq < to; seq++) {
    const [size] = await past.turnsBefore(state, seq + 1, 1)
    if (size !== undefined && farTooLong(tokensOf(size.sizes), left)) {
      if (items.length > 0) break
      return { items: [leftOut(seq, tokensOf(size.sizes))], to: seq + 1 }
    }
    const turn = await Promise.all(
      (await past.itemsFrom(state, seq, seq + 1)).map((item) => exact(item, countTokens)),
    )
    const tokens = turn.reduce((sum, item) => sum + item.tokens, 0)
    if (tokens > left && items.length > 0) break
    items.push(...(tokens > left ? turn.map((item) => shortened(item, left / tokens)) : turn))
    left -= tokens
    if (left <= 0) return { items, to: seq + 1 }
  }
  return { items, to: seq }
}

/** Stands for a turn that is not even read, so long is it. */
const leftOut = (seq: number, bytes: number): PastItem => ({
  ...uncounted('user', `[here stood a message and its answer of ${bytes} bytes, too long to be read again]`),
  ...{ seq, position: 0 },
})

/** A message with its middle left out, a little shorter than the share of it that there is room for. */
function shortened(item: PastItem, share: number): PastItem {
  return { ...item, json: messageJson('user', withoutMiddle(contentOf(item), share)) }
}

function withoutMiddle(text: string, share: number): string {
  const half = Math.max(0, Math.floor((text.length * share * 0.9) / 2))
  return `${text.slice(0, half)} […] ${half === 0 ? '' : text.slice(-half)}`.toWellFormed()
}
