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
  checkAsk(ask)
  const at = deps.now()
  const held = await settingsFor(deps, ask.key, ask.settings)
  const turn = turnOf(id, ask, held, deps.instance(), at)
  const [target] = deps.models.targets(held.model, held.settings.fallback)
  checkSettings(generationOf(held.asked) ?? {}, target)
  await checkFits(requestOf(deps, turn, target), deps.countTokens)
  return turn
}

function checkAsk({ input, settings }: Ask): void {
  if (input.length === 0) throw invalid("'input' is empty. Send the text that the model is to answer.")
  if (settings?.model !== undefined) checkModelName(settings.model)
  for (const name of settings?.fallback ?? []) checkModelName(name)
}

const turnOf = (id: string, ask: Ask, held: Held, owner: string, at: number): NewTurn => ({
  id,
  owner,
  key: ask.key,
  input: uncounted('user', ask.input),
  model: held.model,
  settings: held.settings,
  conversation: held.conversation,
  idempotency: ask.idempotency,
  apiKey: ask.caller?.key,
  limits: ask.caller?.limits,
  at,
})

/** What holds for a turn; `asked` are those of the settings that are not there by default. */
type Held = Pick<NewTurn, 'model' | 'settings' | 'conversation'> & { readonly asked: Settings }

/**
 * The settings that hold for a client's next turn, and its model. What a model does not take of those that are there by default is
 * left out, and only what was asked for is refused.
 *
 * @throws DaehwaError `no_default_model`
 */
export async function settingsFor(
  { store, models }: { store: Store; models: Models },
  key: ConversationKey,
  own?: Settings,
): Promise<Held> {
  const { client, defaults } = await store.settings(key)
  const { model = await models.default(), ...settings } = mergeSettings(defaults, client?.settings, own)
  const asked = mergeSettings(client?.settings, own)
  return { model, settings, asked, conversation: client?.state.conversation }
}

/** The record of a turn that has only been accepted. */
export const recordOf = ({ id, model, at }: NewTurn | QueuedTurn): TurnRecord => ({
  id,
  status: 'queued',
  askedModel: model,
  model,
  text: '',
  reasoning: '',
  pieces: [],
  usage: undefined,
  incomplete: undefined,
  error: undefined,
  createdAt: at,
  startedAt: undefined,
  endedAt: undefined,
})
