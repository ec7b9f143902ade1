import { expect, it } from 'vitest'
import { type Profile, partsOf } from '../../bench/rooms.ts'

/** Functions by id, each called by the one before it in its line. */
const lines: readonly (readonly (readonly [id: number, url: string, name?: string])[])[] = [
  [
    [2, 'node:internal/timers'],
    [3, 'file:///app/src/storage/sqlite.ts'],
    [4, 'file:///app/src/storage/journal/settle.ts'],
    [5, 'node:buffer'],
  ],
  [
    [6, 'node:_http_server'],
    [7, 'file:///app/node_modules/fastify/lib/route.js'],
    [8, 'file:///app/src/conversation/turns.ts'],
  ],
  [[9, '', '(idle)']],
  [[10, '', '(garbage collector)']],
]

function profile(samples: readonly number[]): Profile {
  const nodes = lines.flatMap((line) =>
    line.map(([id, url, functionName = 'f'], n) => {
      const child = line[n + 1]?.[0]
      return { id, callFrame: { functionName, url }, ...(child !== undefined && { children: [child] }) }
    }),
  )
  return { nodes, samples, timeDeltas: samples.map(() => 100) }
}

it('gives the time to the innermost room on the stack, also that of what it calls in Node.js', () => {
  const parts = partsOf(profile([2, 3, 4, 5, 6, 7, 8, 10]))
  expect(parts).toMatchObject({ runtime: 1 / 8, database: 1 / 8, journal: 2 / 8, http: 2 / 8, domain: 1 / 8 })
  expect(parts.gc).toBe(1 / 8)
})

it('counts neither idleness nor what was before the server was warm', () => {
  expect(partsOf(profile([3, 3, 9, 8]), 0.5)).toMatchObject({ domain: 1, database: 0 })
})
