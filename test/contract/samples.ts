import { randomUUID } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import { expect } from 'vitest'
import type { Charge } from '../../src/conversation/charge.ts'
import type { ConversationKey } from '../../src/conversation/conversation.ts'
import type { ErrorCode } from '../../src/conversation/errors.ts'
import { recordOf } from '../../src/conversation/new-turn.ts'
import type { Claim, NewTurn, Store } from '../../src/conversation/store.ts'
import type { TurnRecord } from '../../src/conversation/turn.ts'

export const someone = (key: Partial<ConversationKey> = {}): ConversationKey => ({
  tenant: randomUUID(),
  client: '민수',
  ...key,
})

let made = 0

export const turn = (key: ConversationKey, input: string, at = 1): NewTurn => ({
  id: `resp_${String(made++).padStart(12, '0')}_${randomUUID()}`,
  key,
  owner: 'here',
  input: { json: JSON.stringify({ role: 'user', content: input }), tokens: input.length, counted: true },
  model: 'model',
  settings: made % 2 === 0 ? { instructions: 'be brief', temperature: 0.5, stop: ['.'] } : {},
  idempotency: undefined,
  at,
})

export interface Answer extends Partial<TurnRecord> {
  readonly text: string
  readonly tokens: number
  readonly counted?: boolean
  readonly servedBy?: string | undefined
}

export const answer = (text: string, endedAt = 2): Answer => ({
  ...{ text, tokens: text.length, pieces: [text.length], model: 'model-2026', endedAt },
  usage: { input_tokens: 1, output_tokens: 2, total_tokens: 3 },
})

/** The tenant of another, who asks for a turn that is not theirs. */
export const ofAnother = (one: NewTurn): NewTurn => ({ ...one, key: { ...one.key, tenant: 'another' } })

/** Accepts a turn that waits for nobody but those that are accepted at the same moment. */
export async function begin(store: Store, newTurn: NewTurn): Promise<Claim> {
  const accepted = await store.accept(newTurn, 9)
  if (accepted.existing) throw new Error('not accepted')
  if (accepted.claim !== undefined) return accepted.claim
  for (;;) {
    const claim = await store.claim(newTurn, newTurn.at, 9)
    if (claim === 'gone') throw new Error('ended before it was claimed')
    if (claim !== 'wait') return claim
    await wait(2)
  }
}

export function commit(
  store: Store,
  claim: Claim,
  { tokens, counted = true, servedBy, ...fields }: Answer,
  charge?: Charge,
): Promise<boolean> {
  const status = fields.incomplete === undefined ? 'completed' : 'incomplete'
  const record = { ...blank(claim.turnId), status, ...fields } as const
  const kept = { json: JSON.stringify({ role: 'assistant', content: fields.text }), tokens, counted }
  return store.commit(claim, record, { answer: kept, servedBy }, charge)
}

const blank = (id: string): TurnRecord => recordOf({ ...turn(someone(), ''), id })

export const failure = (id: string, code: ErrorCode): TurnRecord => ({
  ...blank(id),
  status: 'failed',
  error: { code, message: `because of ${code}` },
  text: 'half',
  pieces: [2, 2],
  endedAt: 3,
})

export async function finish(
  store: Store,
  key: ConversationKey,
  input: string,
  text: string,
  { at = 1, answeredAt = 2 } = {},
): Promise<string> {
  const claim = await begin(store, turn(key, input, at))
  expect(await commit(store, claim, answer(text, answeredAt))).toBe(true)
  return claim.turnId
}

export const contents = (entries: readonly { content: string }[]): string[] =>
  entries.map(({ content }) => content)
