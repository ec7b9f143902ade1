import type { Client, ClientPage } from './client.ts'
import type { ConversationKey } from './conversation.ts'
import type { Settings, SettingsPatch } from './settings.ts'

/** The part of a store that knows clients and settings. */
export interface ClientStore {
  /** The clients of a tenant, or of all, by tenant and name; those of one name, or all. */
  clientKeys(tenant: string | undefined, client: string | undefined): AsyncIterable<ConversationKey>
  /** A client, and the settings by default of its tenant. */
  settings(key: ConversationKey): Promise<{ client: Client | undefined; defaults: Settings }>
  /** Changes a client's settings, or makes the client. */
  updateClient(key: ConversationKey, patch: SettingsPatch, at: number): Promise<Client>
  updateDefaults(tenant: string, patch: SettingsPatch, at: number): Promise<Settings>
  /** The clients whose name begins with `prefix`, or the one that is called `only`, the ones last active first, from `cursor` on. */
  clients(
    tenant: string,
    page: { prefix: string; limit: number; cursor: string | undefined; only?: string | undefined },
  ): Promise<ClientPage>
}
