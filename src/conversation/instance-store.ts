import type { QueuedTurn } from './store.ts'

/** One that waited for an instance that is gone, and where. */
export interface TakenTurn extends QueuedTurn {
  /** Sorts as the turns of one conversation are to run. */
  readonly place: string
}

/** A turn of an instance that has not ended, and what other instances were asked: to cancel it, or to follow it. */
export interface WatchedTurn {
  readonly tenant: string
  readonly id: string
  readonly cancelled: boolean
  readonly followed: boolean
}

/** One try of a turn, and who runs it. */
export interface RunningTry {
  readonly tenant: string
  readonly id: string
  readonly createdAt: number
  readonly owner: string
}

/** What has come of an answer. */
export interface Progress {
  readonly text: string
  /** The lengths in which it came, in UTF-16 units. */
  readonly pieces: readonly number[]
  readonly reasoning: string
}

/** The instances that use one database; leases are those of its clock, in milliseconds. */
export interface InstanceStore {
  join(instance: string, lease: number): Promise<void>
  /** False: its lease was over, and its turns are others'. */
  renew(instance: string, lease: number): Promise<boolean>
  leave(instance: string): Promise<void>
  /**
   * What instances ran whose lease is over, or that have left, has failed with `server_restarted`; what waited for them
   * waits for this one: that is the answer, in the order of the places.
   */
  takeOver(instance: string, at: number): Promise<TakenTurn[]>
  /** The turns of an instance that have not ended. */
  unended(instance: string): Promise<WatchedTurn[]>
  /** Asks whoever runs a turn to write down what comes of it, for some seconds. */
  markFollowed(tenant: string, turnId: string): Promise<void>
  /** Writes down what has come of a turn that runs; nothing is done when it is not its owner's any more. */
  keepProgress(turn: RunningTry, progress: Progress): Promise<void>
  /** Gives turns away that an instance does not know of: whoever takes over next has them. */
  disown(instance: string, turns: readonly WatchedTurn[]): Promise<void>
}
