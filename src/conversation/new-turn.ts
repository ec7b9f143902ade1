import type { Caller } from './access/caller.ts'
import { checkSettings } from './ask.ts'
import { checkFits } from './context/choose-context.ts'
import { uncounted } from './context/sizes.ts'
import { requestOf, type TurnContextDeps } from './context/turn-context.ts'
import type { ConversationKey } from './conversation.ts'
import { invalid } from './errors.ts'
import { checkModelName, type Models } from './models.ts'
import type { Span } from './observer.ts'
import type { Now } from './ports.ts'
import { generationOf, mergeSettings, type Settings } from './settings.ts'
import type { Idempotency, NewTurn, QueuedTurn, Store } from './store.ts'
import type { TurnRecord } from './turn.ts'

/**
 * What becomes of a turn when another one of its conversation is running: it waits behind those that wait already;
 * it is refused; or it comes next, and the running one is cancelled.
 */
type MultitaskStrategy = 'enqueue' | 'reject' | 'interrupt'

/** One input of a client. `settings` hold for this turn alone, before those of the client. */
export interface Ask {
  readonly key: ConversationKey
  readonly input: string
  readonly settings?: Settings | undefined
  readonly strategy?: MultitaskStrategy | undefined
  readonly idempotency?: Idempotency | undefined
  /** On whose account. */
  readonly caller?: Pick<Caller, 'key' | 'limits'> | undefined
  /** The request that it came with. */
  readonly of?: Span | undefined
}

export interface NewTurnDeps extends TurnContextDeps {
  readonly store: Store
  readonly now: Now
  /** The id of this instance. @throws DaehwaError `storage_unavailable` while others may hold it for dead */
  readonly instance: () => string
}

/**
 * A turn from what was asked, with the settings as they are now.
 *
 * @throws DaehwaError `invalid_request`, and `context_length_exceeded` for what could never be answered
 */
export async function newTurn(deps: NewTurnDeps, id: string, ask: Ask): Promise<NewTurn> {
  const { key, input, idempotency } = ask
  if (input.length === 0) throw invalid("'input' is empty. Send the text that the model is to answer.")
  for (const name of [ask.settings?.model, ...(ask.settings?.fallback ?? [])]) {
    if (name !== undefined) checkModelName(name)
  }
  const at = deps.now()
  const { asked, ...held } = await settingsFor(deps, key, ask.settings)
  const { model, settings } = held
  const account = { apiKey: ask.caller?.key, limits: ask.caller?.limits }
  const fresh = { id, key, input: uncounted('user', input), idempotency, at, owner: deps.instance() }
  const turn = { ...fresh, ...held, ...account }
  const [target] = deps.models.targets(model, settings.fallback)
  checkSettings(generationOf(asked) ?? {}, target)
  await checkFits(requestOf(deps, turn, target), deps.countTokens)
  return turn
}

/**
 * The settings that hold for a client's next turn, and its model; `asked` are those of them that are not there by default: what
 * a model does not take of those is left out, and only what was asked for is refused.
 *
 * @throws DaehwaError `no_default_model`
 */
export async function settingsFor(
  { store, models }: { store: Store; models: Models },
  key: ConversationKey,
  own?: Settings,
): Promise<Pick<NewTurn, 'model' | 'settings' | 'conversation'> & { asked: Settings }> {
  const { client, defaults } = await store.settings(key)
  const { model = await models.default(), ...settings } = mergeSettings(defaults, client?.settings, own)
  const asked = mergeSettings(client?.settings, own)
  return { model, settings, asked, conversation: client?.state.conversation }
}

/** The record of a turn that has only been accepted. */
export const recordOf = ({ id, model, at }: NewTurn | QueuedTurn): TurnRecord => ({
  ...{ id, status: 'queued', askedModel: model, model, text: '', reasoning: '', pieces: [], createdAt: at },
  ...{ usage: undefined, incomplete: undefined, error: undefined, startedAt: undefined, endedAt: undefined },
})
