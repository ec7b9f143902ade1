import { countThatFit, type Limits, roomForTurns } from './context-window.ts'
import type { Fragment, LateCount, PastItem, PastTurn } from './conversation.ts'
import { DaehwaError } from './errors.ts'
import type { Claim, CountTokens, Store } from './ports.ts'
import { exact, uncounted } from './sizes.ts'

/** How many turns are read at a time; most windows are full after a few such pages. */
const page = 64

export interface ContextRequest {
  readonly model: string
  readonly input: Fragment
  readonly instructions: string | undefined
  readonly limits: Limits
}

/** What always goes along with a turn, in the order it is sent. */
export interface Frame {
  readonly limits: Limits
  readonly always: readonly Fragment[]
}

export interface ContextDeps {
  readonly store: Store
  readonly countTokens: CountTokens
}

/**
 * Instructions and input, which are never left out.
 *
 * @throws DaehwaError `context_length_exceeded` when they alone are too much for the model
 */
export async function frameContext(request: ContextRequest, countTokens: CountTokens): Promise<Frame> {
  const { input, instructions, model, limits } = request
  const always = instructions === undefined ? [input] : [uncounted('system', instructions), input]
  const frame = { limits, always }
  if (roomOf(frame) >= 0) return frame
  const counted = await countFrame(frame, countTokens)
  const room = roomOf(counted)
  if (room >= 0) return counted
  const needed = sum(counted.always.map(({ tokens }) => tokens))
  throw DaehwaError.of('context_length_exceeded', { needed, limit: needed + room, model })
}

/** The messages for one turn, and those of them that are the past. */
export interface Context {
  readonly messages: readonly string[]
  readonly past: readonly PastItem[]
}

/** Instructions, the newest whole turns that fit into the window and into `room` tokens, the input. */
export async function chooseContext(
  deps: ContextDeps,
  claim: Claim,
  frame: Frame,
  room = Number.POSITIVE_INFINITY,
): Promise<Context> {
  const { store, countTokens } = deps
  let from = await oldestThatFits(store, claim, Math.min(room, roomOf(frame)))
  if (from > claim.firstSeq) {
    const counted = await countFrame(frame, countTokens)
    from = await oldestThatFitsCounted(deps, claim, Math.min(room, roomOf(counted)))
  }
  const past = from < claim.nextSeq ? await store.itemsFrom(claim, from) : []
  const input = frame.always.at(-1)
  const messages = [...frame.always.slice(0, -1), ...past, ...(input ? [input] : [])].map(({ json }) => json)
  return { messages, past }
}

/** The tokens of a past, counted. */
export async function tokensOf(past: readonly Fragment[], countTokens: CountTokens): Promise<number> {
  let tokens = 0
  for (const item of past) tokens += (await exact(item, countTokens)).tokens
  return tokens
}

/** The place of the oldest turn to send, by sizes as they are known. Bodies are not read: what is left out may be large. */
async function oldestThatFits(store: Store, claim: Claim, room: number): Promise<number> {
  let left = room
  let from = claim.nextSeq
  while (from > claim.firstSeq) {
    const turns = (await store.turnsBefore(claim, from, page)).map(tokensEach)
    const fitting = countThatFit(left, turns)
    from -= fitting
    if (fitting < turns.length || turns.length === 0) break
    left -= sum(turns.flat())
  }
  return from
}

/** The same by exact sizes. What had to be counted for it is kept, and need not be counted again. */
async function oldestThatFitsCounted(deps: ContextDeps, claim: Claim, room: number): Promise<number> {
  const counts: LateCount[] = []
  let left = room
  let from = claim.nextSeq
  search: while (from > claim.firstSeq) {
    const turns = await deps.store.turnsBefore(claim, from, page)
    for (const turn of turns) {
      left -= sum(
        tokensEach(turn.sizes.every((s) => s.counted) ? turn : await count(deps, claim, turn, counts)),
      )
      if (left < 0) break search
      from = turn.seq
    }
    if (turns.length === 0) break
  }
  // Sizes that were not kept are counted again: no reason to wait, or to fail.
  if (counts.length > 0) deps.store.keepCounts(claim, counts).catch(() => {})
  return from
}

async function count(
  { store, countTokens }: ContextDeps,
  claim: Claim,
  { seq }: PastTurn,
  counts: LateCount[],
): Promise<PastTurn> {
  const sizes: Fragment[] = []
  for (const item of await store.itemsFrom(claim, seq, seq + 1)) {
    const counted = await exact(item, countTokens)
    if (!item.counted) counts.push({ seq, position: item.position, tokens: counted.tokens })
    sizes.push(counted)
  }
  return { seq, sizes }
}

const tokensEach = ({ sizes }: PastTurn): number[] => sizes.map(({ tokens }) => tokens)

const countFrame = async ({ limits, always }: Frame, countTokens: CountTokens): Promise<Frame> => ({
  limits,
  always: await Promise.all(always.map((fragment) => exact(fragment, countTokens))),
})

const roomOf = ({ limits, always }: Frame): number =>
  roomForTurns(
    limits,
    always.map(({ tokens }) => tokens),
  )

const sum = (numbers: readonly number[]): number => numbers.reduce((total, n) => total + n, 0)
