import { runOf } from '../conversation/context/past-run.ts'
import type { ConversationKey } from '../conversation/conversation.ts'
import type { Store } from '../conversation/store.ts'
import { accept, knownTurn } from './accept-turn.ts'
import * as archive from './archive-work.ts'
import * as client from './client-work.ts'
import * as compaction from './compaction-work.ts'
import { all, type Database } from './database.ts'
import * as history from './history-work.ts'
import * as imports from './import-work.ts'
import * as instance from './instance-work.ts'
import * as key from './key-work.ts'
import * as past from './past-work.ts'
import { hasTurn, readTurn } from './read-turn.ts'
import * as retention from './retention-work.ts'
import * as turn from './turn-work.ts'
import { chargeSummary, usage } from './usage-work.ts'

/** The store over any database that runs work. */
export function sqlStore(database: Database): Store {
  const { dialect } = database
  return {
    accept: (newTurn, deadline, line) => database.write(() => accept(newTurn, deadline, line)),
    claim: (queued, at, deadline) => database.write(() => turn.claim(queued, at, deadline, database.shared)),
    endQueued: (queued, record) => database.write(() => turn.endQueued(queued, record)),
    hasTurn: (tenant, id) => database.read(() => hasTurn(tenant, id)),
    turn: (tenant, id, client) => database.read(() => readTurn({ tenant, client }, id)),
    commit: (claim, record, items, charge) => database.write(() => turn.commit(claim, record, items, charge)),
    end: (claim, record, charge) => database.write(() => turn.end(claim, record, charge)),
    turnsBefore: (state, before, count) => database.read(() => past.turnsBefore(state, before, count)),
    tokensBetween: (state, from, to) => database.read(() => past.tokensBetween(state, from, to)),
    itemsFrom: (state, from, to) => database.read(() => past.itemsFrom(state, from, to)),
    run: async (state, from) => runOf(await database.read(() => past.itemsFrom(state, from))),
    views: (state, from, to) => database.read(() => past.views(state, from, to)),
    keepCounts: (state, counts) => database.write(() => past.keepCounts(state, counts)),
    pinned: (state) => database.read(() => past.pinned(state)),
    pin: (key, itemId, pinned) => database.write(() => past.pin(key, itemId, pinned)),
    compaction: (state) => database.read(() => compaction.compaction(state)),
    beginCompaction: (state, at, until) => database.write(() => compaction.beginCompaction(state, at, until)),
    keepCompaction: (state, until, made) =>
      database.write(() => compaction.keepCompaction(state, until, made)),
    endCompaction: (state, until, error) =>
      database.write(() => compaction.endCompaction(state, until, error)),
    settings: (key) => database.read(() => client.settings(key)),
    updateClient: (key, patch, at) => database.write(() => client.updateClient(key, patch, at)),
    updateDefaults: (tenant, patch, at) => database.write(() => client.updateDefaults(tenant, patch, at)),
    clients: (tenant, page) => database.read(() => client.clients(tenant, page)),
    forget: (key, at, idleSince) => database.write(() => history.forget(key, at, idleSince)),
    tenantAfter: (tenant) => database.read(() => retention.tenantAfter(tenant)),
    idle: (tenant, days, limit) => database.read(() => retention.idle(dialect, tenant, days, limit)),
    async *clientKeys(tenant, client) {
      for (let last: ConversationKey | undefined; ; ) {
        const after = last
        const keys = await database.read(() => archive.clientKeys(tenant, client, after))
        yield* keys
        last = keys.at(-1)
        if (last === undefined) return
      }
    },
    async *archived(state) {
      for (let from = state.firstSeq; from < state.nextSeq; ) {
        const at = from
        const { messages, next } = await database.read(() => archive.archivePage(state, at))
        yield messages
        from = next
      }
    },
    beginImport: (key, at) => database.write(() => imports.beginImport(key, at)),
    keepImported: (key, id, seq, turns, at) =>
      database.write(() => imports.keepImported(key, id, seq, turns, at)),
    finishImport: (key, id, of, at) => database.write(() => imports.finishImport(key, id, of, at)),
    dropImport: (tenant, id) => database.write(() => imports.dropImport(tenant, id)),
    dropStaleImports: () => database.write(() => imports.dropStaleImports(dialect)),
    async *history(key, turns, before) {
      let range = await database.read(() => history.historyRange(key, turns, before))
      while (range !== undefined && range.from < range.to) {
        const from: history.Range = range
        const { entries, rest } = await database.read(() => history.historyPage(from))
        yield entries
        range = rest
      }
    },
    clear: (key, at) => database.write(() => history.clear(key, at)),
    scrub: () => database.scrub(),
    backup: () => database.backup(),
    known: (tenant, idempotency, at) => database.read(() => knownTurn(tenant, idempotency, at)),
    addKey: (made, digest) => database.write(() => key.addKey(made, digest)),
    keyByDigest: (digest) => database.read(() => key.keyByDigest(digest)),
    keysWithIds: (ids) => database.read(() => key.keysWithIds(ids)),
    keys: (tenant) => database.read(() => key.keys(tenant)),
    limitKey: (id, change) => database.write(() => key.limitKey(id, change)),
    revokeKey: (id, at) => database.write(() => key.revokeKey(id, at)),
    chargeSummary: (made) => database.write(() => chargeSummary(made)),
    usage: (wish) => database.read(() => usage(wish)),
    join: (id, lease) => database.write(() => instance.join(dialect, id, lease)),
    renew: (id, lease) => database.write(() => instance.renew(dialect, id, lease)),
    leave: (id) => database.write(() => instance.leave(id)),
    takeOver: (id, at) => database.write(() => instance.takeOver(dialect, id, at)),
    unended: (id) => database.read(() => instance.unended(dialect, id)),
    disown: (id, turns) => database.write(() => instance.disown(id, turns)),
    markFollowed: (tenant, id) => database.write(() => instance.markFollowed(dialect, tenant, id)),
    keepProgress: (running, progress) => database.write(() => instance.keepProgress(running, progress)),
    requestCancel: (tenant, id, at) => database.write(() => instance.requestCancel(tenant, id, at)),
    ping: () =>
      database.read(function* () {
        yield* all('SELECT 1')
      }),
  }
}
