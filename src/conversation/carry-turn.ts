import { DaehwaError } from './errors.ts'
import type { Place } from './lanes.ts'
import type { LiveTurn } from './live-turn.ts'
import { failed, keptOr, type RunDeps, runTurn, type Unkept } from './run-turn.ts'
import type { Claim, NewTurn, QueuedTurn } from './store.ts'

/**
 * Takes a kept turn from its place in the lane to its end: it waits, is claimed, and runs. Like `runTurn` it never
 * throws, and hands back what the store did not take. `claimed` is the claim of a turn that need not wait.
 */
export async function carryTurn(
  deps: RunDeps,
  place: Place,
  turn: NewTurn | QueuedTurn,
  claimed: Claim | undefined,
  live: LiveTurn,
  abort: AbortController,
): Promise<Unkept | undefined> {
  try {
    const claim = claimed ?? (await claimInTurn(deps, place, turn, abort.signal))
    return await runTurn(deps, claim, live, turn, abort)
  } catch (error) {
    const record = failed(live, error, deps.now())
    const unkept = await keptOr(() => deps.store.endQueued(turn.key.tenant, record))
    live.end(record)
    return unkept
  }
}

/** Waits for the turn's time to come. Throws when it does not come any more. */
async function claimInTurn(
  { store, now, turnTimeout }: RunDeps,
  place: Place,
  { id, key }: NewTurn | QueuedTurn,
  signal: AbortSignal,
): Promise<Claim> {
  const aborted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
  await Promise.race([place.ready, aborted])
  signal.throwIfAborted()
  const claim = await store.claim(key.tenant, id, now(), now() + turnTimeout)
  if (claim === undefined) throw DaehwaError.of('history_deleted')
  return claim
}
