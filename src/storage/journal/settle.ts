import { dayOf } from '../../conversation/access/limits.ts'
import { insertTurn, placeOf } from '../accept-turn.ts'
import { run, type Work } from '../database.ts'
import { insertAnswer } from '../turn-work.ts'
import { chargeClient, chargeKey } from '../usage-work.ts'
import { type Head, stateOf } from './heads.ts'
import { type Accepted, type JournaledTurn, tokensOf } from './records.ts'

/** Writes the newest turns of a conversation into the tables, all at once; with `open` also the one that is being answered. */
export function* settleHead(head: Head, open?: Accepted): Work<void> {
  for (const turn of head.tail) {
    yield* insertAnswered(turn)
    yield* insertItems(turn)
  }
  if (open !== undefined) {
    const { conversation: id, epoch, places, deadline, reserved } = open
    const turn = { ...open, idempotency: undefined }
    yield* insertTurn(turn, placeOf(places, false), { id, epoch }, deadline, reserved)
  }
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

function* insertAnswered({ accepted, answered }: JournaledTurn): Work<void> {
  const { usage } = answered
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
    ...[accepted.apiKey ?? null, tokensOf(answered)],
  )
}

function* insertItems({ accepted, answered }: JournaledTurn): Work<void> {
  const { key, conversation, id: turnId, input, at } = accepted
  const { seq } = answered
  yield* run(
    `INSERT INTO items (tenant, conversation, seq, position, id, turn_id, type, role, body, tokens, counted, created_at)
     VALUES (?, ?, ?, 0, ?, ?, 'message', 'user', ?, ?, ?, ?)`,
    ...[key.tenant, conversation, seq, answered.question, turnId, input.json, input.tokens],
    ...[input.counted ? 1 : 0, at],
  )
  const place = { tenant: key.tenant, conversation, seq, turnId }
  yield* insertAnswer(place, { ...answered, endedAt: answered.at })
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
