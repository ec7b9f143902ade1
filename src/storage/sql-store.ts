import type { Store } from '../conversation/ports.ts'
import { accept, knownTurn } from './accept-turn.ts'
import { all, type Database } from './database.ts'
import * as history from './history-work.ts'
import { hasTurn, readTurn } from './read-turn.ts'
import * as turn from './turn-work.ts'

/** The store over any database that runs work. */
export function sqlStore(database: Database): Store {
  return {
    model: (key) => database.read(() => history.model(key)),
    setModel: (key, model, at) => database.write(() => history.setModel(key, model, at)),
    accept: (newTurn, deadline) => database.write(() => accept(newTurn, deadline)),
    claim: (tenant, id, at, deadline) => database.write(() => turn.claim(tenant, id, at, deadline)),
    endQueued: (tenant, record) => database.write(() => turn.endQueued(tenant, record)),
    hasTurn: (tenant, id) => database.read(() => hasTurn(tenant, id)),
    turn: (tenant, id) => database.read(() => readTurn(tenant, id)),
    turnsBefore: (claim, before, count) => database.read(() => history.turnsBefore(claim, before, count)),
    commit: (claim, record, answer) => database.write(() => turn.commit(claim, record, answer)),
    end: (claim, record) => database.write(() => turn.end(claim, record)),
    itemsFrom: (claim, from, to) => database.read(() => history.itemsFrom(claim, from, to)),
    keepCounts: (claim, counts) => database.write(() => history.keepCounts(claim, counts)),
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
    known: (tenant, idempotency, at) => database.read(() => knownTurn(tenant, idempotency, at)),
    recover: (at) => database.write(() => turn.recover(at)),
    ping: () =>
      database.read(function* () {
        yield* all('SELECT 1')
      }),
  }
}
