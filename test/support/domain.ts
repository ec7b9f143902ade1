import { Calibration } from '../../src/conversation/context/calibration.ts'
import { Compactor } from '../../src/conversation/context/compactor.ts'
import { rememberingPasts } from '../../src/conversation/context/past-cache.ts'
import type { Catalog } from '../../src/conversation/model-catalog.ts'
import { Models } from '../../src/conversation/models.ts'
import { pacer } from '../../src/conversation/pacer.ts'
import type { CountTokens, Upstream } from '../../src/conversation/ports.ts'
import type { Store } from '../../src/conversation/store.ts'
import type { TurnsDeps } from '../../src/conversation/turns.ts'
import { silent } from '../../src/feed/silent.ts'
import { oneUpstream } from './catalog.ts'
import { measured } from './measured.ts'

interface Parts {
  readonly store: Store
  readonly upstreams: ReadonlyMap<string, Upstream>
  readonly catalog?: Catalog
  readonly countTokens?: CountTokens
}

/** What the domain is made of, over a store and upstreams of a test. */
export function domainOver({ store: kept, upstreams, catalog = oneUpstream, countTokens }: Parts): TurnsDeps {
  const log = { info() {}, warn() {}, error() {} }
  const observer = measured()
  const [now, clock] = [Date.now, () => performance.now()]
  const store = rememberingPasts(kept, pacer(clock), () => 1)
  const models = new Models({ upstreams, catalog, defaultModel: 'm', clock, log })
  const basics = {
    ...{ store, past: store, ledger: store, upstreams, models, now, clock, log, observer },
    countTokens: countTokens ?? (async (text: string) => text.length),
  }
  return {
    ...basics,
    ...{ compactor: new Compactor(basics), calibration: new Calibration(), summaryModel: undefined },
    ...{
      turnTimeout: 60_000,
      maxWaiting: 64,
      maxTurns: 10_000,
      shared: false,
      feed: silent,
      instance: () => 'here',
    },
  }
}
