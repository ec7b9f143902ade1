import type { QueuedTurn } from './store.ts'

/** One that waited for an instance that is gone, and where. */
export interface TakenTurn extends QueuedTurn {
  /** Sorts as the turns of one conversation are to run. */
  readonly place: string
}

/** A turn of an instance that has not ended, and whether another instance was asked to cancel it. */
export interface WatchedTurn {
  readonly tenant: string
  readonly id: string
  readonly cancelled: boolean
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
  /** Gives turns away that an instance does not know of: whoever takes over next has them. */
  disown(instance: string, turns: readonly WatchedTurn[]): Promise<void>
}
