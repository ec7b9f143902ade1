import type { Charge } from '../../conversation/charge.ts'
import { DaehwaError } from '../../conversation/errors.ts'
import { newId } from '../../conversation/ids.ts'
import type { Accepted, Claim, NewItems, NewTurn } from '../../conversation/store.ts'
import type { TurnRecord } from '../../conversation/turn.ts'
import { placeOf } from '../accept-turn.ts'
import type { Work } from '../database.ts'
import { reserve } from '../limit-work.ts'
import { stateOf } from './heads.ts'
import type { Journal } from './journal.ts'
import type { Answered } from './records.ts'

/** Accepts a turn of a conversation of which none is open; undefined where that is for the tables. Throws what `accept` of a store throws. */
export function* acceptTurn(journal: Journal, turn: NewTurn, deadline: number): Work<Accepted | undefined> {
  yield* journal.read()
  const head = yield* journal.memory.heads.load(turn.key)
  if (head === undefined || head.open !== undefined) return undefined
  const { conversation, epoch } = stateOf(head)
  if ((turn.conversation ?? conversation) !== conversation) throw DaehwaError.of('history_deleted')
  const reserved = yield* reserve(turn, journal.memory.accounts.of(head))
  const { id, key, owner, model, settings, input, apiKey, at } = turn
  journal.accepted(head, {
    kind: 'accepted',
    id,
    key,
    owner,
    model,
    settings,
    input,
    apiKey,
    at,
    conversation,
    epoch,
    fence: head.fence + 1,
    places: head.places + 1,
    reserved,
    deadline,
  })
  const claim = { ...stateOf(head), turnId: id, fence: head.fence }
  return { existing: false, turnId: id, place: placeOf(head.places, false), claim }
}

/** Takes the answer to such a turn; undefined where that is for the tables. */
export function* answerTurn(
  journal: Journal,
  claim: Claim,
  turn: TurnRecord,
  { answer, servedBy }: NewItems,
  charge?: Charge,
): Work<true | undefined> {
  yield* journal.read()
  const head = journal.memory.heads.withId(claim.conversation)
  if (head?.open?.id !== claim.turnId || head.fence !== claim.fence) return undefined
  const { status, model, pieces, incomplete, usage, reasoning, createdAt, endedAt } = turn
  if (status !== 'completed' && status !== 'incomplete') return undefined
  journal.answered(head, head.open, {
    kind: 'answered',
    id: turn.id,
    conversation: claim.conversation,
    seq: stateOf(head).nextSeq,
    status,
    model,
    pieces,
    incomplete,
    usage,
    question: newId('msg', createdAt),
    answer,
    reasoning,
    servedBy,
    charge: charge && withoutKey(charge),
    at: endedAt ?? createdAt,
  })
  return true
}

const withoutKey = ({ apiKey, model, input, output, estimated, at }: Charge): Answered['charge'] => ({
  apiKey,
  model,
  input,
  output,
  estimated,
  at,
})
