import { describe, expect, it } from 'vitest'
import { checkHistory, type Evidence, type HistoryMessage, type Operation } from './history-checker.ts'
import { transcript } from './transcript-upstream.ts'

/** A conversation of `count` turns in which all went well. */
function healthy(
  count: number,
): Evidence & { operations: Operation[]; history: HistoryMessage[]; asked: string[] } {
  const history: HistoryMessage[] = []
  for (let n = 0; n < count; n++) {
    history.push({ role: 'user', content: `input ${n}` })
    history.push({ role: 'assistant', content: `token=${n} digest=${transcript(history).digest}` })
  }
  const operations = Array.from({ length: count }, (_, n): Operation => {
    return { kind: 'query', input: `input ${n}`, answer: history[n * 2 + 1]?.content }
  })
  return { operations, history, asked: operations.map((_, n) => `input ${n}`), retries: 0 }
}

const deleted: Operation = { kind: 'delete', answered: true }

describe('the history checker', () => {
  it('is content when all is right', () => {
    expect(checkHistory(healthy(5))).toEqual([])
    expect(checkHistory({ ...healthy(0), operations: [...healthy(3).operations, deleted] })).toEqual([])
  })

  it('is content with a message whose sender got no reply, kept or not', () => {
    const evidence = healthy(3)
    evidence.operations[2] = { kind: 'query', input: 'input 2', answer: undefined }
    expect(checkHistory(evidence)).toEqual([])
    evidence.history.splice(4, 2)
    expect(checkHistory(evidence)).toEqual([])
  })

  it('catches a lost pair', () => {
    const evidence = healthy(3)
    evidence.history.splice(4, 2)
    expect(checkHistory(evidence)).toEqual(['lost: input 2'])
  })

  it('catches a doubled pair', () => {
    const evidence = healthy(3)
    evidence.history.push(...evidence.history.slice(0, 2))
    expect(checkHistory(evidence)).toContain('doubled: input 0')
  })

  it('catches a swapped pair', () => {
    const evidence = healthy(3)
    evidence.history.push(...evidence.history.splice(0, 2))
    expect(checkHistory(evidence)).toContain('another context: input 1')
  })

  it('catches a ghost after a delete', () => {
    const evidence = healthy(2)
    evidence.operations.push(deleted)
    expect(checkHistory(evidence)).toContain('a ghost after delete: input 0')
  })

  it('catches an answer that is not the one that was given', () => {
    const evidence = healthy(1)
    evidence.operations[0] = { kind: 'query', input: 'input 0', answer: 'something else' }
    expect(checkHistory(evidence)).toEqual(['another answer: input 0'])
  })

  it('catches what nobody sent, half a pair, and a message that was sent too often', () => {
    const evidence = healthy(2)
    evidence.operations.splice(0, 1)
    expect(checkHistory(evidence)).toContain('invented: input 0')
    const half = healthy(2)
    half.history.pop()
    expect(checkHistory(half)).toContain('half a pair at 2')
    const often = healthy(1)
    often.asked.push('input 0')
    expect(checkHistory(often)).toEqual(['asked 2 times: input 0'])
    expect(checkHistory({ ...often, retries: 1 })).toEqual([])
  })
})
