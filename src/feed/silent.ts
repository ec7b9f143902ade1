import type { Feed } from '../conversation/ports.ts'

/** The feed where there is none: nobody is told, and the database is asked. */
export const silent: Feed = {
  alive: false,
  tell() {},
  listen: () => ({ [Symbol.dispose]() {} }),
}
