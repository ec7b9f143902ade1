import { runOf } from '../../conversation/context/past-run.ts'
import type { ConversationKey } from '../../conversation/conversation.ts'
import type { Settings } from '../../conversation/settings.ts'
import type { Line, NewTurn, Store } from '../../conversation/store.ts'
import { accept } from '../accept-turn.ts'
import type { Database, Work } from '../database.ts'
import type { Find, Journal } from './journal.ts'
import { partsOf, sizeOf } from './tail.ts'
import { acceptTurn, answerTurn } from './take-turns.ts'

/** Longer messages go to the tables at once. UTF-16 units. */
const longest = 32 * 1024

/**
 * A store over a database that this process has alone: the usual turn, which nothing is before and nothing is wrong with, goes into
 * the journal. Whatever else is asked finds in the tables all that there is of the conversations that it is asked of.
 */
export function journaledStore(store: Store, database: Database, journal: Journal): Store {
  const { heads, accounts } = journal.memory
  const defaults = new Map<string, Settings>()
  const named = (key: ConversationKey) => () => heads.named(key)
  const withId = (of: { readonly conversation: string }) => () => heads.withId(of.conversation)
  const ofTurn = (id: string) => () => heads.ofTurn(id)

  const ready = async (): Promise<void> => {
    if (!journal.isRead) await database.read(() => journal.read())
  }
  /** Changes one conversation in the tables. Both works are the next ones in one transaction, so that nobody comes in between. */
  const change = async <T>(find: Find, work: () => Promise<T>): Promise<T> => {
    const [, value] = await Promise.all([database.write(() => journal.release(find)), work()])
    return value
  }
  /** The same for what concerns many, or leaves nothing behind. */
  const changeAll = async <T>(work: () => Promise<T>): Promise<T> => {
    await putAll()
    const [, value] = await Promise.all([database.write(() => releaseAll(journal)), work()])
    return value
  }
  /** Reads when all that is kept of a conversation is in the tables. */
  const see = async <T>(find: Find, read: () => Promise<T>): Promise<T> => {
    await put(find)
    return read()
  }
  const put = async (find: Find): Promise<void> => {
    await ready()
    if (find() !== undefined) await database.write(() => journal.put(find))
  }
  const seeAll = async <T>(read: () => Promise<T>): Promise<T> => {
    await putAll()
    return read()
  }
  /** Step by step, so that others get their turn. */
  const putAll = async (): Promise<void> => {
    await ready()
    let left = journal.unsettled // those that come meanwhile are younger
    while (left > 0) left -= Math.max(1, await database.write(() => journal.putSome()))
  }
  async function* seePages<T>(find: Find, pages: () => AsyncIterable<T>): AsyncGenerator<T> {
    await put(find)
    yield* pages()
  }

  const itemsFrom: Store['itemsFrom'] = async (state, fromSeq, toSeq = state.nextSeq) => {
    await ready()
    const { settled, tail } = partsOf(heads.withId(state.conversation), state, fromSeq, toSeq)
    if (settled === fromSeq) return tail
    return [...(await store.itemsFrom(state, fromSeq, settled)), ...tail]
  }

  return {
    ...store,
    async accept(turn: NewTurn, deadline: number | undefined, line: Line = {}) {
      const usual = deadline !== undefined && turn.idempotency === undefined && line.interrupt !== true
      const short = turn.input.json.length + (turn.settings.instructions?.length ?? 0) <= longest
      if (usual && short) {
        const accepted = await database.write(() => acceptTurn(journal, turn, deadline))
        if (accepted !== undefined) return accepted
      }
      const beside = accounts.beside.bind(accounts)
      return change(named(turn.key), () => database.write(() => accept(turn, deadline, line, beside)))
    },
    async commit(claim, turn, items, charge) {
      if (items.answer.json.length + turn.reasoning.length <= longest) {
        const answered = await database.write(() => answerTurn(journal, claim, turn, items, charge))
        if (answered !== undefined) return answered
      }
      return change(withId(claim), () => store.commit(claim, turn, items, charge))
    },
    async settings(key) {
      await ready()
      const known = defaults.get(key.tenant)
      const head = heads.named(key) ?? (known && (await database.read(() => heads.load(key))))
      if (head !== undefined && known !== undefined) {
        const { client } = head
        if (database.keeping !== undefined) await database.keeping // memory knows it sooner than the disk
        return { client, defaults: known }
      }
      const settings = await store.settings(key)
      defaults.set(key.tenant, settings.defaults)
      return head === undefined ? settings : { client: head.client, defaults: settings.defaults }
    },
    updateDefaults(tenant, patch, at) {
      defaults.delete(tenant)
      return store.updateDefaults(tenant, patch, at).finally(() => defaults.delete(tenant))
    },

    itemsFrom,
    run: async (state, from) => runOf(await itemsFrom(state, from)),
    async turnsBefore(state, beforeSeq, count) {
      await ready()
      const from = Math.max(state.firstSeq, beforeSeq - count)
      const { settled, tail } = partsOf(heads.withId(state.conversation), state, from, beforeSeq)
      const turns = Map.groupBy(tail, ({ seq }) => seq)
      const newest = [...turns].map(([seq, items]) => ({ seq, sizes: items.map(sizeOf) })).reverse()
      return settled === from
        ? newest
        : [...newest, ...(await store.turnsBefore(state, settled, settled - from))]
    },
    async tokensBetween(state, from, to) {
      await ready()
      const { settled, tail } = partsOf(heads.withId(state.conversation), state, from, to)
      const tokens = tail.reduce((sum, item) => sum + item.tokens, 0)
      return settled === from ? tokens : tokens + (await store.tokensBetween(state, from, settled))
    },

    hasTurn: (tenant, id) => see(ofTurn(id), () => store.hasTurn(tenant, id)),
    turn: (tenant, id, client) => see(ofTurn(id), () => store.turn(tenant, id, client)),
    views: (state, from, to) => see(withId(state), () => store.views(state, from, to)),
    pinned: (state) => see(withId(state), () => store.pinned(state)),
    history: (key, turns, before) => seePages(named(key), () => store.history(key, turns, before)),
    archived: (state) => seePages(withId(state), () => store.archived(state)),
    clients: (tenant, page) => seeAll(() => store.clients(tenant, page)),
    idle: (tenant, days, limit) => seeAll(() => store.idle(tenant, days, limit)),
    usage: (wish) => seeAll(() => store.usage(wish)),
    unended: (instance) => seeAll(() => store.unended(instance)),
    backup: () => seeAll(() => store.backup()),

    claim: (turn, at, until) => change(named(turn.key), () => store.claim(turn, at, until)),
    endQueued: (turn, record) => change(named(turn.key), () => store.endQueued(turn, record)),
    async end(claim, record, charge) {
      // What it is charged is its client's, who may have been forgotten since and come again.
      const again = charge && database.write(() => journal.release(named(charge.key)))
      const ended = change(withId(claim), () => store.end(claim, record, charge))
      await Promise.all([again, ended])
    },
    requestCancel: (tenant, id, at) => change(ofTurn(id), () => store.requestCancel(tenant, id, at)),
    markFollowed: (tenant, id) => change(ofTurn(id), () => store.markFollowed(tenant, id)),
    keepProgress: (turn, so) => change(ofTurn(turn.id), () => store.keepProgress(turn, so)),
    keepCounts: (state, counts) => change(withId(state), () => store.keepCounts(state, counts)),
    pin: (key, id, on) => change(named(key), () => store.pin(key, id, on)),
    updateClient: (key, patch, at) => change(named(key), () => store.updateClient(key, patch, at)),
    beginCompaction: (state, at, until) =>
      change(withId(state), () => store.beginCompaction(state, at, until)),
    keepCompaction: (state, until, made) =>
      change(withId(state), () => store.keepCompaction(state, until, made)),
    endCompaction: (state, until, error) =>
      change(withId(state), () => store.endCompaction(state, until, error)),
    chargeSummary: (made) => change(withId(made), () => store.chargeSummary(made)),
    beginImport: (key, at) => change(named(key), () => store.beginImport(key, at)),
    async keepImported(key, id, seq, turns, at) {
      // One that is here already is refused, and only the tables tell.
      const putTurns = function* (): Work<void> {
        for (const { answer } of turns) yield* journal.put(ofTurn(answer.turnId))
      }
      await Promise.all([database.write(putTurns), store.keepImported(key, id, seq, turns, at)])
    },
    finishImport: (key, id, of, at) => change(named(key), () => store.finishImport(key, id, of, at)),
    takeOver: (instance, at) => changeAll(() => store.takeOver(instance, at)),
    disown: (instance, turns) => changeAll(() => store.disown(instance, turns)),
    clear: (key, at) => changeAll(() => store.clear(key, at)),
    forget: (key, at, idleSince) => changeAll(() => store.forget(key, at, idleSince)),
  }
}

function* releaseAll(journal: Journal): Work<void> {
  yield* journal.putAll()
  journal.memory.heads.clear()
  journal.memory.accounts.forget()
}
