import { invalid } from './errors.ts'

/** What a model is told about how to answer. Names and ranges are those of OpenAI's API. */
export interface Generation {
  readonly temperature?: number | undefined
  readonly top_p?: number | undefined
  readonly max_output_tokens?: number | undefined
  readonly stop?: readonly string[] | undefined
  readonly reasoning_effort?: string | undefined
}

/** The names of the settings that go upstream. */
export const generationSettings = [
  'temperature',
  'top_p',
  'max_output_tokens',
  'stop',
  'reasoning_effort',
] as const satisfies readonly (keyof Generation)[]

/** All that can be set for a client, for one turn, and by default for the clients of a tenant. */
export interface Settings extends Generation {
  readonly model?: string | undefined
  /** What the model is told before everything else. */
  readonly instructions?: string | undefined
  /** Models that are asked, in this order, when the first one fails. */
  readonly fallback?: readonly string[] | undefined
  /** Whether older turns are summarised when a conversation outgrows its model. */
  readonly compaction?: 'auto' | 'off' | undefined
  /** How full the window may get before that happens: a fraction of it. */
  readonly compact_at?: number | undefined
  /** The model that summarises; without it the one that answers. */
  readonly summary_model?: string | undefined
  /** After how many days without activity the client is erased. */
  readonly retention_days?: number | undefined
  /** The caller's own notes on a client. They are kept and shown, and never sent to a model. */
  readonly metadata?: Readonly<Record<string, string>> | undefined
}

/** A change of settings as in RFC 7396 (JSON Merge Patch): null takes a setting back. */
export type SettingsPatch = {
  readonly [K in keyof Omit<Settings, 'metadata'>]: Settings[K] | null
} & { readonly metadata?: MetadataPatch }

type MetadataPatch = Readonly<Record<string, string | null>> | null | undefined

/** How many notes a client may have. */
const maxMetadata = 16

/** @throws DaehwaError `invalid_request` when there would be too many notes */
export function patchSettings(settings: Settings, patch: SettingsPatch): Settings {
  const merged = { ...settings, ...patch, metadata: patchMetadata(settings.metadata, patch.metadata) }
  return withoutGaps(merged) as Settings
}

/** What holds for a turn: its own settings, before its client's, before those by default. */
export function mergeSettings(...weakestFirst: readonly (Settings | undefined)[]): Settings {
  const merged: Record<string, unknown> = {}
  for (const settings of weakestFirst) fill(merged, settings)
  return merged
}

/** Those of the settings that go upstream; undefined when there are none. */
export function generationOf(settings: Settings): Generation | undefined {
  let set: Record<string, unknown> | undefined
  for (const name of generationSettings) {
    if (settings[name] !== undefined) set = { ...set, [name]: settings[name] }
  }
  return set
}

function patchMetadata(metadata: Settings['metadata'], patch: MetadataPatch): Settings['metadata'] {
  if (patch === undefined || patch === null) return patch === null ? undefined : metadata
  const merged = withoutGaps({ ...metadata, ...patch }) as Record<string, string>
  const count = Object.keys(merged).length
  if (count > maxMetadata) {
    throw invalid(
      `'metadata' would have ${count} entries, and may have ${maxMetadata}. Take one back with null.`,
    )
  }
  return count === 0 ? undefined : merged
}

const withoutGaps = (object: object): object => fill({}, object)

/** Puts what is set in one object into another one. */
function fill(target: Record<string, unknown>, source: object | undefined): Record<string, unknown> {
  for (const [name, value] of source === undefined ? [] : Object.entries(source)) {
    if (value !== undefined && value !== null) target[name] = value
  }
  return target
}
