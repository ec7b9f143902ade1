import { DaehwaError } from '../../conversation/errors.ts'
import type { App } from '../app-type.ts'

/** Milliseconds: how often it is looked how late the process is, and how late it may be, twice in a row on an average. */
const limits = { look: 100, late: 250 } as const

/**
 * Refuses what begins turns while the process is late with all it has to do. It costs nearly nothing to refuse, so that
 * health, reading, cancelling and erasing get their turn.
 */
export function shedLoad(app: App): void {
  let last = performance.now()
  let [before, now] = [0, 0]
  const timer = setInterval(() => {
    const at = performance.now()
    ;[before, now] = [now, at - last - limits.look]
    last = at
  }, limits.look)
  app.addHook('onClose', async () => clearInterval(timer))
  app.addHook('onRequest', async ({ routeOptions: { config } }) => {
    if (config?.begins === true && (before + now) / 2 > limits.late)
      throw DaehwaError.of('overloaded').after(2)
  })
}
