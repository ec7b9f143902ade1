import { dayOf } from '../../conversation/access/limits.ts'
import { answerId, reasoningId } from '../../conversation/turn-event.ts'
import { placeOf } from '../accept-turn.ts'
import { run, type Work } from '../database.ts'
import { chargeClient, chargeKey } from '../usage-work.ts'
import { type Head, stateOf } from './heads.ts'
import { type Accepted, type JournaledTurn, tokensOf } from './records.ts'

/** Writes the newest turns of a conversation into the tables, all at once; with `open` also the one that is being answered. */
export function* settleHead(head: Head, open?: Accepted): Work<void> {
  for (const turn of head.tail) {
    yield* insertTurn(turn)
    yield* insertItems(turn)
  }
  if (open !== undefined) yield* insertOpen(open)
  const { client } = head
  // What is open and stays in the journal is accepted anew from there.
  const ahead = head.open === undefined || open !== undefined ? 0 : 1
  yield* run(
    `UPDATE conversations SET fence = ?, places = ?, next_seq = ?, active_turn = ?, updated_at = ?, input_tokens = ?,
       output_tokens = ?, served_by = ? WHERE tenant = ? AND id = ?`,
    ...[head.fence - ahead, head.places - ahead, client.state.nextSeq, open?.id ?? null, client.activeAt],
    ...[client.inputTokens, client.outputTokens, client.state.servedBy ?? null],
    ...[head.key.tenant, stateOf(head).conversation],
  )
  yield* chargeTurns(head)
}

function* insertTurn({ accepted, answered }: JournaledTurn): Work<void> {
  const { usage, charge } = answered
  yield* run(
    `INSERT INTO turns (tenant, id, place, owner, conversation, epoch, status, model, served_model, seq, pieces, incomplete,
       usage_input, usage_output, usage_total, input_tokens, input_counted, created_at, dispatched_at, deadline_at, ended_at,
       key_id, reserved, charged)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)`,
    ...[accepted.key.tenant, accepted.id, placeOf(accepted.places, false), accepted.owner],
    ...[accepted.conversation, accepted.epoch, answered.status, accepted.model, answered.model, answered.seq],
    ...[answered.pieces.join(','), answered.incomplete ?? null],
    ...[usage?.input_tokens ?? null, usage?.output_tokens ?? null, usage?.total_tokens ?? null],
    ...[accepted.input.tokens, accepted.input.counted ? 1 : 0],
    ...[accepted.at, accepted.at, accepted.deadline, answered.at],
    ...[accepted.apiKey ?? null, charge === undefined ? 0 : charge.input + charge.output],
  )
}

function* insertItems({ accepted, answered }: JournaledTurn): Work<void> {
  const { key, conversation, id, input } = accepted
  const { answer, seq } = answered
  const sql = `INSERT INTO items (tenant, conversation, seq, position, id, turn_id, type, role, body, tokens, counted,
       incomplete, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
  const place = [key.tenant, conversation, seq] as const
  yield* run(
    sql,
    ...[...place, 0, answered.question, id, 'message', 'user', input.json, input.tokens],
    ...[input.counted ? 1 : 0, null, accepted.at],
  )
  yield* run(
    sql,
    ...[...place, 1, answerId(id), id, 'message', 'assistant', answer.json, answer.tokens],
    ...[answer.counted ? 1 : 0, answered.incomplete ?? null, answered.at],
  )
  if (answered.reasoning === '') return
  const thought = JSON.stringify({ text: answered.reasoning })
  yield* run(
    sql,
    ...[...place, 2, reasoningId(id), id, 'reasoning', null, thought, 0],
    ...[1, null, answered.at],
  )
}

/** As `accept` in accept-turn.ts keeps it. */
function* insertOpen(turn: Accepted): Work<void> {
  const { instructions, ...settings } = turn.settings
  yield* run(
    `INSERT INTO turns (tenant, id, place, owner, conversation, epoch, status, model, instructions, settings, input,
       input_tokens, input_counted, created_at, dispatched_at, deadline_at, key_id, reserved)
     VALUES (?, ?, ?, ?, ?, ?, 'in_progress', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ...[turn.key.tenant, turn.id, placeOf(turn.places, false), turn.owner, turn.conversation, turn.epoch],
    ...[turn.model, instructions ?? null, JSON.stringify(settings)],
    ...[turn.input.json, turn.input.tokens, turn.input.counted ? 1 : 0],
    ...[turn.at, turn.at, turn.deadline, turn.apiKey ?? null, turn.reserved],
  )
}

/** One row of the ledger for all turns of a day, a key and a model. */
function* chargeTurns({ key, tail }: Head): Work<void> {
  const rows = new Map<string, Parameters<typeof chargeClient>>()
  for (const { charge } of tail.map((turn) => turn.answered)) {
    if (charge === undefined) continue
    const apiKey = charge.apiKey ?? ''
    const name = `${dayOf(charge.at)}\n${apiKey}\n${charge.model}`
    const [, , , , sum] = rows.get(name) ?? []
    rows.set(name, [
      ...([key, dayOf(charge.at), apiKey, charge.model] as const),
      {
        turns: (sum?.turns ?? 0) + 1,
        estimated: (sum?.estimated ?? 0) + (charge.estimated ? 1 : 0),
        input: (sum?.input ?? 0) + charge.input,
        output: (sum?.output ?? 0) + charge.output,
      },
    ])
  }
  for (const row of rows.values()) yield* chargeClient(...row)
}

/** What turns of many conversations were charged, by key and day. */
export function* chargeKeys(turns: readonly JournaledTurn[]): Work<void> {
  const sums = new Map<string, { apiKey: string; day: number; tokens: number }>()
  for (const { answered } of turns) {
    const { apiKey, at = 0 } = answered.charge ?? {}
    if (apiKey === undefined) continue
    const day = dayOf(at)
    const name = `${day}\n${apiKey}`
    const tokens = (sums.get(name)?.tokens ?? 0) + tokensOf(answered)
    sums.set(name, { apiKey, day, tokens })
  }
  for (const { apiKey, day, tokens } of sums.values()) yield* chargeKey(apiKey, day, tokens)
}
