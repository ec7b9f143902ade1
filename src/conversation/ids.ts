import { randomFillSync } from 'node:crypto'

type Prefix = 'conv' | 'resp' | 'msg' | 'cmp' | 'req' | 'inst' | 'key'

/**
 * A new id: prefix, 12 hex digits of Unix milliseconds, 20 random ones (80 bits). Ids of one prefix sort by the
 * time of their making, so that tables keyed by them grow at one end.
 */
export function newId(prefix: Prefix, now: number): string {
  return `${prefix}_${hex(now, 12)}${randomHex(20)}`
}

/** Makes ids of the same shape that sort strictly as they were made, whatever becomes of the wall clock. */
export class OrderedIds {
  #last = 0
  #count = 0

  /** Milliseconds, a counter within them (3 digits), 17 random digits (68 bits). */
  next(prefix: Prefix, now: number): string {
    if (now > this.#last) {
      this.#last = Math.trunc(now)
      this.#count = 0
    } else if (++this.#count > 0xfff) {
      this.#last++
      this.#count = 0
    }
    return `${prefix}_${hex(this.#last, 12)}${hex(this.#count, 3)}${randomHex(17)}`
  }
}

const hex = (number: number, digits: number): string => Math.trunc(number).toString(16).padStart(digits, '0')

/** Random bytes not used yet: to ask for all of them takes no longer than for those of one id. */
const pool = Buffer.alloc(4_096)
let used = pool.length

function randomHex(digits: number): string {
  const from = used + Math.ceil(digits / 2) > pool.length ? 0 : used
  if (from === 0) randomFillSync(pool)
  used = from + Math.ceil(digits / 2)
  return pool.toString('hex', from, used).slice(0, digits)
}
