import { shown } from './numbers.ts'
import { conditions, table } from './report.ts'
import type { Pages, Tables, ThisMachine } from './results.ts'
import { type Room, rooms } from './rooms.ts'
import type { Options } from './tools.ts'

export interface ProfileResult extends ThisMachine {
  readonly method: Options
  /** Milliseconds of the one thread for a query, with what it waits for the disk; and of CPU. */
  readonly busy: number
  readonly cpu: number
  /** Parts of the first. */
  readonly parts: Readonly<Record<Room, number>>
}

export const profilePages = (result: ProfileResult): Pages => ({
  'docs/performance.md': profileTables(result),
})

export function profileTables({ busy, cpu, parts, method, ...machine }: ProfileResult): Tables {
  const micros = (part: number) => `${shown(part * busy * 1_000)} µs`
  const rows = (Object.keys(rooms) as Room[]).map((room) => [
    rooms[room],
    micros(parts[room]),
    `${shown(parts[room] * 100)} %`,
  ])
  return {
    steps: [
      `${conditions(machine)} ${method.connections} connections, with the profiler, which costs a tenth or so.`,
      '',
      ...table(['step', 'of a query', 'part'], rows),
      '',
      `Together ${micros(1)} of the thread, ${shown(cpu * 1_000)} µs of them CPU; the rest is waiting for the disk.`,
    ].join('\n'),
  }
}
