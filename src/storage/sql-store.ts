import type { Store } from '../conversation/ports.ts'
import { all, type Database } from './database.ts'
import * as history from './history-work.ts'
import * as turn from './turn-work.ts'

/** The store over any database that runs work. */
export function sqlStore(database: Database): Store {
  return {
    model: (key) => database.read(() => history.model(key)),
    setModel: (key, model, at) => database.write(() => history.setModel(key, model, at)),
    accept: (newTurn) => database.write(() => turn.accept(newTurn)),
    acceptAndClaim: (newTurn, deadline) => database.write(() => turn.acceptAndClaim(newTurn, deadline)),
    claim: (tenant, id, at, deadline) => database.write(() => turn.claim(tenant, id, at, deadline)),
    turnsBefore: (claim, before, count) => database.read(() => history.turnsBefore(claim, before, count)),
    commit: (claim, finished) => database.write(() => turn.commit(claim, finished)),
    fail: (claim, code, at) => database.write(() => turn.fail(claim, code, at)),
    abandon: (tenant, id, code, at) => database.write(() => turn.abandon(tenant, id, code, at)),
    itemsFrom: (claim, from) => database.read(() => history.itemsFrom(claim, from)),
    async *history(key, turns, before) {
      let range = await database.read(() => history.historyRange(key, turns, before))
      while (range !== undefined && range.from < range.to) {
        const from: history.Range = range
        const { entries, rest } = await database.read(() => history.historyPage(from))
        yield entries
        range = rest
      }
    },
    async clear(key, at) {
      const erased = await database.write(() => history.clear(key, at))
      await database.scrub()
      return erased
    },
    recover: (at) => database.write(() => turn.recover(at)),
    ping: () =>
      database.read(function* () {
        yield* all('SELECT 1')
      }),
  }
}
