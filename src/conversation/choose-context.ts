import { countThatFit, type Limits, messageTokens, roomForTurns } from './context-window.ts'
import { type Fragment, messageJson } from './conversation.ts'
import { DaehwaError } from './errors.ts'
import type { Claim, CountTokens, Store } from './ports.ts'

/** How many turns are read at a time; most windows are full after a few such pages. */
const page = 64

export interface ContextRequest {
  readonly model: string
  readonly input: Fragment
  readonly instructions: string | undefined
  readonly limits: Limits
}

/** What always goes along with a turn, and the tokens that are left beside it for past turns. */
export interface Frame {
  readonly instructions: string | undefined
  readonly input: string
  readonly room: number
}

/**
 * Instructions and input, which are never left out.
 *
 * @throws DaehwaError `context_length_exceeded` when they alone are too much for the model
 */
export async function frameContext(request: ContextRequest, countTokens: CountTokens): Promise<Frame> {
  const { input, instructions, model, limits } = request
  const always = [input.tokens]
  if (instructions !== undefined) always.push(messageTokens(await countTokens(instructions)))
  const room = roomForTurns(limits, always)
  if (room < 0) {
    const needed = always.reduce((a, b) => a + b)
    throw DaehwaError.of('context_length_exceeded', { needed, limit: needed + room, model })
  }
  return {
    instructions: instructions === undefined ? undefined : messageJson('system', instructions),
    input: input.json,
    room,
  }
}

/** The messages for one turn, and how much of them is the past. */
export interface Context {
  readonly messages: readonly string[]
  /** Tokens of the past turns that are in. */
  readonly pastTokens: number
}

/** Instructions, the newest whole turns that fit into `room` tokens, the input. */
export async function chooseContext(
  store: Store,
  claim: Claim,
  frame: Frame,
  room: number,
): Promise<Context> {
  const from = await oldestThatFits(store, claim, room)
  const past = from < claim.nextSeq ? await store.itemsFrom(claim, from) : []
  const messages = past.map((item) => item.json)
  if (frame.instructions !== undefined) messages.unshift(frame.instructions)
  messages.push(frame.input)
  return { messages, pastTokens: past.reduce((total, item) => total + item.tokens, 0) }
}

/** The place of the oldest turn to send. Sizes alone are read for it: what is left out may be large. */
async function oldestThatFits(store: Store, claim: Claim, room: number): Promise<number> {
  let left = room
  let from = claim.nextSeq
  while (from > claim.firstSeq) {
    const sizes = (await store.turnsBefore(claim, from, page)).map((turn) => turn.tokens)
    const fitting = countThatFit(left, sizes)
    from -= fitting
    if (fitting < sizes.length || sizes.length === 0) break
    left -= sizes.flat().reduce((total, tokens) => total + tokens, 0)
  }
  return from
}
