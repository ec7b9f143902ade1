import type { Client, ConversationState } from './client.ts'
import { summaryMessage, summaryText } from './context/summary-prompt.ts'
import type { Compaction, ConversationKey, HistoryEntry, Usage } from './conversation.ts'
import { DaehwaError } from './errors.ts'
import { patchSettings, type Settings } from './settings.ts'
import type { Store } from './store.ts'

/** A message with all that is kept of it. The last three are an answer's. */
export interface ArchivedMessage extends HistoryEntry {
  readonly pinned?: true
  readonly model?: string
  readonly usage?: Usage
  readonly reasoning?: string
}

/** A message and its answer. */
export interface ArchivedTurn {
  readonly question: ArchivedMessage
  readonly answer: ArchivedMessage & { readonly model: string }
}

/** What stands for the oldest `turns` of a history in a context. */
export interface ArchivedSummary extends Pick<Compaction, 'id' | 'model' | 'tokens' | 'at'> {
  readonly text: string
  readonly turns: number
}

/** What is taken in of a client besides its turns. Times are Unix milliseconds. */
export interface ClientArchive {
  readonly settings: Settings
  readonly createdAt: number
  readonly summary: ArchivedSummary | undefined
}

/** What is written down of a client: itself, its summary, its messages in order, and that this was all. */
export type ArchiveLine =
  | { readonly kind: 'client'; readonly client: Client }
  | { readonly kind: 'summary'; readonly summary: ArchivedSummary }
  | { readonly kind: 'message'; readonly message: ArchivedMessage }
  | { readonly kind: 'end'; readonly messages: number }

/** A client as it is to be when its turns are there. */
export interface FinishedImport {
  readonly settings: Settings
  readonly createdAt: number
  readonly compaction: Compaction | undefined
  readonly turns: number
  readonly inputTokens: number
  readonly outputTokens: number
}

/** The part of a store that exports and imports. An import is invisible until it is finished; one that is not is dropped some time. */
export interface ArchiveStore {
  /** The messages of a conversation in pages, oldest first. @throws DaehwaError `history_deleted` when it is cleared meanwhile */
  archived(state: ConversationState): AsyncIterable<readonly ArchivedMessage[]>
  /** Begins to import, and ends every other import for this client. Answers its id. @throws DaehwaError `history_exists` */
  beginImport(key: ConversationKey, at: number): Promise<string>
  /** Adds turns, of which the first is number `seq`. @throws DaehwaError `history_exists` for those that are here already */
  keepImported(
    key: ConversationKey,
    id: string,
    seq: number,
    turns: readonly ArchivedTurn[],
    at: number,
  ): Promise<void>
  /** Makes of it the client. @throws DaehwaError `history_exists` when it has a history by now */
  finishImport(key: ConversationKey, id: string, client: FinishedImport, at: number): Promise<void>
  dropImport(tenant: string, id: string): Promise<void>
}

/** How many turns are kept in one step, and about how much text, in UTF-16 units. */
const step = { turns: 500, text: 2 * 1024 * 1024 }

/** All that is kept of a client, line by line. @throws DaehwaError `not_found`, and `history_deleted` when it is cleared meanwhile */
export async function* exportClient(store: Store, key: ConversationKey): AsyncGenerator<ArchiveLine> {
  const { client } = await store.settings(key)
  if (client === undefined) throw DaehwaError.of('not_found', { what: 'such client' })
  const { state } = client
  yield { kind: 'client', client }
  const made = state.compactedTo > state.firstSeq ? await store.compaction(state) : undefined
  // One that was made since may cover turns that came since.
  if (made !== undefined && made.toSeq <= state.nextSeq) {
    const { id, model, tokens, at } = made
    const turns = made.toSeq - state.firstSeq
    yield { kind: 'summary', summary: { id, model, tokens, at, text: summaryText(made), turns } }
  }
  let messages = 0
  for await (const page of store.archived(state)) {
    for (const message of page) yield { kind: 'message', message }
    messages += page.length
  }
  yield { kind: 'end', messages }
}

/**
 * Takes a client in, all of it or nothing. What is wrong with the turns is thrown by whoever yields them. Answers how many
 * messages it has.
 */
export async function importClient(
  { store, now }: { store: ArchiveStore & Pick<Store, 'scrub'>; now: () => number },
  key: ConversationKey,
  { settings, createdAt, summary }: ClientArchive,
  turns: AsyncIterable<ArchivedTurn>,
): Promise<number> {
  const checked = patchSettings({}, settings)
  const id = await store.beginImport(key, now())
  try {
    const total = { turns: 0, inputTokens: 0, outputTokens: 0 }
    let held: ArchivedTurn[] = []
    let text = 0
    const keep = async () => {
      await store.keepImported(key, id, total.turns, held, now())
      total.turns += held.length
      ;[held, text] = [[], 0]
    }
    for await (const turn of turns) {
      held.push(turn)
      text += sizeOf(turn.question) + sizeOf(turn.answer)
      total.inputTokens = safe(total.inputTokens + (turn.answer.usage?.input_tokens ?? 0))
      total.outputTokens = safe(total.outputTokens + (turn.answer.usage?.output_tokens ?? 0))
      if (held.length >= step.turns || text >= step.text) await keep()
    }
    if (held.length > 0) await keep()
    const compaction = summary && toCompaction(summary)
    await store.finishImport(key, id, { settings: checked, createdAt, compaction, ...total }, now())
    return total.turns * 2
  } catch (error) {
    // What cannot be dropped now is dropped within the hours.
    await store
      .dropImport(key.tenant, id)
      .then(() => store.scrub())
      .catch(() => {})
    throw error
  }
}

const toCompaction = ({ id, model, tokens, at, text, turns }: ArchivedSummary): Compaction => ({
  ...{ id, model, tokens, counted: true, at, json: summaryMessage(text), fromSeq: 0, toSeq: turns },
})

const sizeOf = ({ content, reasoning }: ArchivedMessage): number => content.length + (reasoning?.length ?? 0)

const safe = (tokens: number): number => Math.min(tokens, Number.MAX_SAFE_INTEGER)
