import type { ConversationState } from '../../conversation/client.ts'
import type { Fragment, PastItem, Size } from '../../conversation/conversation.ts'
import { type Head, stateOf } from './heads.ts'

/** The turns `from <= seq < to` of a conversation: those before `settled` are in the tables, those behind it here. */
export function partsOf(head: Head | undefined, state: ConversationState, from: number, to: number) {
  const [oldest] = head?.tail ?? []
  const isSame = head !== undefined && stateOf(head).epoch === state.epoch
  const settled = Math.max(from, Math.min(to, isSame && oldest !== undefined ? oldest.answered.seq : to))
  const tail: PastItem[] = []
  for (const { accepted, answered } of settled < to ? (head?.tail ?? []) : []) {
    const { seq } = answered
    if (seq < settled || seq >= to) continue
    tail.push(pastItem(seq, 0, accepted.input), pastItem(seq, 1, answered.answer))
  }
  return { settled, tail }
}

const pastItem = (seq: number, position: number, { tokens, counted, json }: Fragment): PastItem => ({
  seq,
  position,
  tokens,
  counted,
  json,
})

export const sizeOf = ({ tokens, counted }: PastItem): Size => ({ tokens, counted })
