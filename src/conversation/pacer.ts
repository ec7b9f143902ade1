import { setImmediate as nextTick } from 'node:timers/promises'
import type { Monotonic } from './ports.ts'

export interface Pace {
  /**
   * Resolves when one may go on: soon, as long as others have not waited for too long, or else after them. What is done
   * at once when it resolves is done before the next in line goes on.
   */
  (): Promise<void>
  /** Whether one may go on at once, and does. */
  readonly atOnce: () => boolean
}

/** For how long work goes on before others get their turn. Milliseconds. */
const longest = 8

/**
 * Paces work in many small steps that would otherwise run as one: what does not really wait for anything, as a read of
 * this process's own database, does not let anybody else in. All who share a pace take one turn of the event loop together,
 * in the order in which they came.
 */
export function pacer(clock: Monotonic): Pace {
  let began: number | undefined
  let line = Promise.resolve()

  const isOverdue = () => began !== undefined && clock() - began >= longest

  const begin = () => {
    if (began !== undefined) return
    began = clock()
    setImmediate(() => {
      began = undefined
    })
  }

  const next = async () => {
    if (isOverdue()) await nextTick()
    begin()
  }

  const pace = () => {
    line = line.then(next)
    return line
  }

  const atOnce = () => {
    if (isOverdue()) return false
    begin()
    return true
  }
  return Object.assign(pace, { atOnce })
}
