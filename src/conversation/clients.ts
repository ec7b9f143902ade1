import type { Owner } from './access/caller.ts'
import type { Client } from './client.ts'
import { uncounted } from './context/sizes.ts'
import { planOf, requestOf } from './context/turn-context.ts'
import { type ContextView, viewContext } from './context/view-context.ts'
import type { Compaction, ConversationKey } from './conversation.ts'
import { DaehwaError } from './errors.ts'
import { type NewTurnDeps, settingsFor } from './new-turn.ts'
import { mergeSettings, type Settings, type SettingsPatch } from './settings.ts'
import type { Turns } from './turns.ts'

/** A client with the settings that hold for its next turn. */
export interface ShownClient {
  readonly client: Client
  /** Undefined where none is chosen and the upstream lists none. */
  readonly model: string | undefined
}

/** What can be done with clients besides asking: their settings, their contexts, their end. */
export class Clients {
  readonly #deps: NewTurnDeps
  readonly #turns: Turns

  constructor(deps: NewTurnDeps, turns: Turns) {
    this.#deps = deps
    this.#turns = turns
  }

  /** @throws DaehwaError `not_found` */
  async read(key: ConversationKey): Promise<ShownClient> {
    const { client, defaults } = await this.#deps.store.settings(key)
    if (client === undefined) throw DaehwaError.of('not_found', { what: 'such client' })
    return this.#show(client, defaults)
  }

  /** The ones last active first; `next` is the cursor of the page after this one. */
  async list(
    { tenant, client: only }: Owner,
    page: { prefix: string; limit: number; cursor: string | undefined },
  ): Promise<{ clients: ShownClient[]; next: string | undefined }> {
    const { clients, next } = await this.#deps.store.clients(tenant, { ...page, only })
    const defaults = await this.defaults(tenant)
    return { clients: await Promise.all(clients.map((client) => this.#show(client, defaults))), next }
  }

  /** Changes settings; a client that is not there yet is made. @throws DaehwaError `model_not_found` */
  async update(key: ConversationKey, patch: SettingsPatch): Promise<ShownClient> {
    await this.#checkModels(patch)
    const client = await this.#deps.store.updateClient(key, patch, this.#deps.now())
    return this.#show(client, await this.defaults(key.tenant))
  }

  async defaults(tenant: string): Promise<Settings> {
    return (await this.#deps.store.settings({ tenant, client: '' })).defaults
  }

  async updateDefaults(tenant: string, patch: SettingsPatch): Promise<Settings> {
    await this.#checkModels(patch)
    return this.#deps.store.updateDefaults(tenant, patch, this.#deps.now())
  }

  /** Erases a client: history, summaries and settings. Answers how many messages that were. */
  erase(key: ConversationKey): Promise<number> {
    return this.#turns.clear(key, 'client')
  }

  /** What its model would be sent now. */
  async context(key: ConversationKey): Promise<ContextView> {
    const { client } = await this.#deps.store.settings(key)
    return viewContext(this.#deps, client?.state, await settingsFor(this.#deps, key))
  }

  /** Pins a message of the history, or unpins it. @throws DaehwaError `not_found` */
  async pin(key: ConversationKey, itemId: string, pinned: boolean): Promise<void> {
    if (await this.#deps.store.pin(key, itemId, pinned)) return
    throw DaehwaError.of('not_found', { what: 'such message' })
  }

  /**
   * Summarises all but the newest `keep` turns now. Answers the summary there is then; undefined where there is nothing
   * to summarise.
   *
   * @throws DaehwaError why it could not be done
   */
  async compact(key: ConversationKey, keep: number): Promise<Compaction | undefined> {
    const { store, past, models, compactor } = this.#deps
    const { client } = await store.settings(key)
    if (client === undefined) throw DaehwaError.of('not_found', { what: 'such client' })
    const asked = { ...(await settingsFor(this.#deps, key)), input: uncounted('user', '') }
    const [target] = models.targets(asked.model, asked.settings.fallback)
    const plan = await planOf(this.#deps, client.state, asked, requestOf(this.#deps, asked, target))
    const boundary = async ({ nextSeq }: { nextSeq: number }, start: number) =>
      Math.max(start, nextSeq - keep)
    const outcome = await compactor.compact(client.state, { ...plan, boundary, patient: false })
    if ('error' in outcome) throw outcome.error
    return past.compaction(client.state)
  }

  /** Names that no upstream has are refused, whatever they are to be used for. */
  async #checkModels({ model, fallback, summary_model }: SettingsPatch): Promise<void> {
    for (const name of [model, ...(fallback ?? []), summary_model]) {
      if (name !== undefined && name !== null) await this.#deps.models.check(name)
    }
  }

  async #show(client: Client, defaults: Settings): Promise<ShownClient> {
    const { model } = mergeSettings(defaults, client.settings)
    return { client, model: model ?? (await this.#deps.models.default().catch(() => undefined)) }
  }
}
