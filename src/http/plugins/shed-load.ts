import { DaehwaError } from '../../conversation/errors.ts'
import type { App } from '../app-type.ts'

/**
 * Milliseconds: how often it is looked how late the process is, and how late it may be. A single long piece of work, or a
 * start on a slow machine, is not too much to do: so often in a row it must be late.
 */
const limits = { look: 100, late: 500, inRow: 3 } as const

/**
 * Refuses what begins turns while the process is late with all it has to do. It costs nearly nothing to refuse, so that
 * health, reading, cancelling and erasing get their turn.
 */
export function shedLoad(app: App): void {
  let last = performance.now()
  let late = 0
  const timer = setInterval(() => {
    const at = performance.now()
    late = at - last - limits.look > limits.late ? late + 1 : 0
    last = at
  }, limits.look)
  app.addHook('onClose', async () => clearInterval(timer))
  app.addHook('onRequest', ({ routeOptions: { config } }, _reply, done) => {
    if (config?.begins === true && late >= limits.inRow) throw DaehwaError.of('overloaded').after(2)
    done()
  })
}
