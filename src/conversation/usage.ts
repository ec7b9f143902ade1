/** What usage can be summed up by. */
export const groups = ['day', 'tenant', 'client_name', 'key', 'model'] as const

export type Group = (typeof groups)[number]

export interface UsageWish {
  /** Undefined: of all tenants. */
  readonly tenant: string | undefined
  readonly client: string | undefined
  /** The first and the last day, both of them in; days of UTC since 1970-01-01. */
  readonly from: number
  readonly to: number
  readonly by: readonly Group[]
  /** How many rows at most. */
  readonly limit: number
}

/** Tokens that were used. Those fields are there by which it was asked to be summed up, and the model always. */
export interface UsageRow {
  readonly day?: number
  readonly tenant?: string
  readonly client_name?: string
  /** The id of the key; null for the operator's, and for summaries. */
  readonly key?: string | null
  readonly model: string
  readonly turns: number
  /** How many of the turns were counted here, since the upstream did not say. */
  readonly estimated_turns: number
  readonly input_tokens: number
  readonly output_tokens: number
}

/** What a summary of a conversation has used. */
export interface SummaryCharge {
  readonly tenant: string
  /** The id of the conversation. */
  readonly conversation: string
  readonly model: string
  readonly input: number
  readonly output: number
  /** Unix milliseconds. */
  readonly at: number
}

export interface UsageStore {
  /** On no key's account, and no turn; not where the client is forgotten meanwhile. */
  chargeSummary(charge: SummaryCharge): Promise<void>
  /** In the order of `by`, then of the models. */
  usage(wish: UsageWish): Promise<UsageRow[]>
}
