import { shown } from './numbers.ts'
import { conditions, table } from './report.ts'
import type { Pages, Tables, ThisMachine } from './results.ts'
import { type Room, rooms } from './rooms.ts'
import type { Options } from './tools.ts'

export interface ProfileResult extends ThisMachine {
  readonly method: Options
  /** Milliseconds of the main thread for a query; and of CPU, with all threads. */
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
      `Together ${micros(1)} of the main thread. All threads took ${shown(cpu * 1_000)} µs of CPU.`,
    ].join('\n'),
  }
}
