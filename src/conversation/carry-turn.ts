import { Bell } from './bell.ts'
import { laneChannel } from './channels.ts'
import type { Elsewhere } from './elsewhere.ts'
import type { Place } from './lanes.ts'
import type { LiveTurn } from './live-turn.ts'
import { during } from './observer.ts'
import type { Feed } from './ports.ts'
import { failed, isLost, keptOr, type RunDeps, runTurn, type Unkept } from './run-turn.ts'
import type { Claim, NewTurn, QueuedTurn } from './store.ts'

/** How often a turn looks whether its time has come that waits for one of another instance: when nobody tells, and when somebody may. Milliseconds. */
const lookAgain = { untold: 250, told: 1_000 } as const

export interface CarryDeps extends RunDeps {
  /** Whether other instances take up what this one leaves behind. */
  readonly shared: boolean
  readonly feed: Feed
}

/**
 * Takes a kept turn from its place in the lane to its end: it waits, is claimed, and runs. Like `runTurn` it never
 * throws, and hands back what the store did not take. `claimed` is the claim of a turn that need not wait.
 */
export async function carryTurn(
  deps: CarryDeps & { elsewhere: Elsewhere },
  place: Place,
  turn: NewTurn | QueuedTurn,
  claimed: Claim | undefined,
  live: LiveTurn,
  abort: AbortController,
): Promise<Unkept | undefined> {
  try {
    const claim =
      claimed ??
      (await during(deps.observer.part('queue', live.span), claimInTurn(deps, place, turn, abort.signal)))
    if (claim !== 'gone') return await runTurn(deps, claim, live, turn, abort)
  } catch (error) {
    const record = failed(live, error, deps.now())
    if (deps.shared && record.error?.code === 'server_shutting_down') {
      live.leave(record)
      return undefined // it waits for whoever takes it over
    }
    let ended = false
    const end = async () => {
      ended = !isLost(abort) && (await deps.store.endQueued(turn, record))
    }
    const unkept = await keptOr(end)
    if (ended || unkept !== undefined) {
      live.end(record)
      return unkept
    }
  }
  place.leave()
  live.tell(await deps.elsewhere.follow(turn.key.tenant, live.record).ended) // somebody else ended it, or runs it
  return undefined
}

/** Waits for the turn's time to come. Throws when it is to be waited for no longer. */
async function claimInTurn(
  { store, feed, now, turnTimeout }: CarryDeps,
  place: Place,
  turn: NewTurn | QueuedTurn,
  signal: AbortSignal,
): Promise<Claim | 'gone'> {
  const aborted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
  const bell = new Bell()
  using others = new DisposableStack()
  for (let waits = false; ; waits = true) {
    await Promise.race([place.ready, aborted])
    signal.throwIfAborted()
    const claim = await store.claim(turn, now(), now() + turnTimeout)
    if (claim !== 'wait') return claim
    place.stepAside()
    if (!waits) others.use(feed.listen(laneChannel(turn.key), () => bell.ring()))
    await Promise.race([bell.wait(feed.alive ? lookAgain.told : lookAgain.untold), aborted])
  }
}
