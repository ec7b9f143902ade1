import { type TurnChange, transitions } from '../conversation/turn.ts'

/** The statuses in which a change can happen, as SQL. */
export function before(change: TurnChange): string {
  const statuses = Object.entries(transitions).filter(([, to]) => to[change] !== null)
  return statuses.map(([status]) => `'${status}'`).join(', ')
}
