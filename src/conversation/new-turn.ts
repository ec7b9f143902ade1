import { type Frame, frameContext } from './choose-context.ts'
import type { ConversationKey } from './conversation.ts'
import { invalid } from './errors.ts'
import { checkModelName, type Models } from './models.ts'
import type { CountTokens, Idempotency, NewTurn, Now, QueuedTurn, Store } from './ports.ts'
import { uncounted } from './sizes.ts'
import type { TurnRecord } from './turn.ts'

/**
 * What becomes of a turn when another one of its conversation is running: it waits behind those that wait already;
 * it is refused; or it comes next, and the running one is cancelled.
 */
type MultitaskStrategy = 'enqueue' | 'reject' | 'interrupt'

/** One input of a client. `model` and `instructions` hold for this turn alone. */
export interface Ask {
  readonly key: ConversationKey
  readonly input: string
  readonly model?: string | undefined
  readonly instructions?: string | undefined
  readonly strategy?: MultitaskStrategy | undefined
  readonly idempotency?: Idempotency | undefined
}

export interface NewTurnDeps {
  readonly store: Store
  readonly models: Models
  readonly countTokens: CountTokens
  readonly now: Now
}

/** A turn from what was asked, with the client's settings as they are now. @throws DaehwaError `invalid_request` */
export async function newTurn(deps: NewTurnDeps, id: string, ask: Ask): Promise<NewTurn> {
  const { key, input, model, instructions, idempotency } = ask
  if (input.length === 0) throw invalid("'input' is empty. Send the text that the model is to answer.")
  if (model !== undefined) checkModelName(model)
  const { store, models, now } = deps
  const at = now()
  return {
    ...{ id, key, instructions, idempotency, at },
    input: uncounted('user', input),
    model: model ?? (await store.model(key)) ?? (await models.default()),
  }
}

/** What always goes along with a turn. @throws DaehwaError `context_length_exceeded` */
export function frameOf({ models, countTokens }: NewTurnDeps, turn: NewTurn | QueuedTurn): Promise<Frame> {
  const [{ limits }] = models.targets(turn.model)
  return frameContext({ ...turn, limits }, countTokens)
}

/** The record of a turn that has only been accepted. */
export const recordOf = ({ id, model, at }: NewTurn | QueuedTurn): TurnRecord => ({
  ...{ id, status: 'queued', askedModel: model, model, text: '', pieces: [], createdAt: at },
  ...{ usage: undefined, incomplete: undefined, error: undefined, startedAt: undefined, endedAt: undefined },
})
