import { transcript } from './transcript-upstream.ts'

/** What a client asked of one conversation, and what it was told, in the order in which it was told. */
export type Operation =
  | {
      readonly kind: 'query'
      readonly input: string
      /** The answer; undefined when there was an error, or no reply at all. */
      readonly answer: string | undefined
    }
  | { readonly kind: 'delete'; readonly answered: boolean }

export interface HistoryMessage {
  readonly role: string
  readonly content: string
}

/** All that is known of one conversation, when nothing runs any more. Inputs and answers are unlike all others. */
export interface Evidence {
  readonly operations: readonly Operation[]
  readonly history: readonly HistoryMessage[]
  /** The last messages of the requests that the upstream got for it, each as often as it came. */
  readonly asked: readonly string[]
  /** How often a request may be sent again before its first byte. */
  readonly retries: number
}

/**
 * What is wrong with a conversation; nothing when all is right. Shown is that (1) every answered message is in the
 * history exactly once, unless a later delete was answered; (2) nothing is there that nobody sent; (3) the context of
 * each answer was the pairs before it, in order; (4) what was answered before an answered delete is gone; (5) no
 * message was sent upstream more often than allowed; and that messages come in whole pairs.
 */
export function checkHistory({ operations, history, asked, retries }: Evidence): string[] {
  const faults: string[] = []
  const lastDelete = operations.findLastIndex((op) => op.kind === 'delete' && op.answered)
  const maybeDeleted = operations.some((op) => op.kind === 'delete' && !op.answered)
  const count = (text: string) => history.filter(({ content }) => content === text).length
  const sent = new Set<string>()
  for (const [at, operation] of operations.entries()) {
    if (operation.kind !== 'query') continue
    sent.add(operation.input)
    const kept = count(operation.input)
    if (kept > 1) faults.push(`doubled: ${operation.input}`)
    if (operation.answer === undefined) continue
    if (at < lastDelete && kept > 0) faults.push(`a ghost after delete: ${operation.input}`)
    if (at > lastDelete && !maybeDeleted && kept === 0) faults.push(`lost: ${operation.input}`)
    if (at > lastDelete && kept === 1 && count(operation.answer) !== 1)
      faults.push(`another answer: ${operation.input}`)
  }
  for (let at = 0; at < history.length; at += 2) {
    const [question, answer] = [history[at], history[at + 1]]
    if (question?.role !== 'user' || answer?.role !== 'assistant') faults.push(`half a pair at ${at}`)
    if (question !== undefined && !sent.has(question.content)) faults.push(`invented: ${question.content}`)
    const { digest } = transcript(history.slice(0, at + 1))
    if (answer?.content.includes(`digest=${digest}`) !== true)
      faults.push(`another context: ${question?.content}`)
  }
  for (const input of sent) {
    const times = asked.filter((text) => text === input).length
    if (times > 1 + retries) faults.push(`asked ${times} times: ${input}`)
  }
  return faults
}
