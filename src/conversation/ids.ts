import { randomBytes } from 'node:crypto'

/**
 * A new id: prefix, 12 hex digits of Unix milliseconds, 20 random ones (80 bits). Ids of one prefix sort by the
 * time of their making, so that tables keyed by them grow at one end.
 */
export function newId(prefix: 'conv' | 'resp' | 'msg' | 'req', now: number): string {
  return `${prefix}_${Math.trunc(now).toString(16).padStart(12, '0')}${randomBytes(10).toString('hex')}`
}
