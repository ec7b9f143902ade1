import type { Elsewhere } from './elsewhere.ts'
import type { Place } from './lanes.ts'
import type { LiveTurn } from './live-turn.ts'
import { failed, isLost, keptOr, type RunDeps, runTurn, type Unkept } from './run-turn.ts'
import type { Claim, NewTurn, QueuedTurn } from './store.ts'

/** How often a turn looks whether its time has come that waits for one of another instance. Milliseconds. */
const lookAgain = 250

export interface CarryDeps extends RunDeps {
  /** Whether other instances take up what this one leaves behind. */
  readonly shared: boolean
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
    const claim = claimed ?? (await claimInTurn(deps, place, turn, abort.signal))
    if (claim !== 'gone') return await runTurn(deps, claim, live, turn, abort)
  } catch (error) {
    const record = failed(live, error, deps.now())
    if (deps.shared && record.error?.code === 'server_shutting_down') {
      live.end(record)
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
  live.tell(await deps.elsewhere.ended(turn.key.tenant, live.record)) // somebody else ended it, or runs it
  return undefined
}

/** Waits for the turn's time to come. Throws when it is to be waited for no longer. */
async function claimInTurn(
  { store, now, turnTimeout }: RunDeps,
  place: Place,
  turn: NewTurn | QueuedTurn,
  signal: AbortSignal,
): Promise<Claim | 'gone'> {
  const aborted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
  for (;;) {
    await Promise.race([place.ready, aborted])
    signal.throwIfAborted()
    const claim = await store.claim(turn, now(), now() + turnTimeout)
    if (claim !== 'wait') return claim
    place.stepAside()
    await Promise.race([new Promise((resolve) => setTimeout(resolve, lookAgain)), aborted])
  }
}
