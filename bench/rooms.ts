/** A profile as V8 writes it (`--cpu-prof`): a tree of functions, and which of them ran at each sample. Times are microseconds. */
export interface Profile {
  readonly nodes: readonly ProfileNode[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

interface ProfileNode {
  readonly id: number
  readonly callFrame: { readonly functionName: string; readonly url: string }
  readonly children?: readonly number[]
}

/** The steps of a query, in its order; what nobody else asked for is the runtime's own. */
export const rooms = {
  http: 'HTTP: reading the request, its hooks, sending the answer (`src/http`, Fastify, `node:http`)',
  log: 'the line in the log (`src/logger.ts`, pino)',
  metrics: 'metrics (`src/telemetry`, prom-client)',
  domain: 'the turn: settings, lane, context, events (`src/conversation`)',
  journal: 'the journal: limits, what is kept in memory, its rows (`src/storage/journal`)',
  database: 'SQLite: statements, commits, copying its log into the file (`src/storage`)',
  upstream: 'asking the model and reading its answer (`src/upstream`, undici)',
  gc: 'collecting garbage',
  runtime: 'the event loop, promises and sockets of Node.js, where no step above called them',
} as const

export type Room = keyof typeof rooms

/** The innermost of them on the stack has the time; `node:http` counts only where nothing of the others is above it. */
const places: readonly (readonly [RegExp, Room])[] = [
  [/\/src\/storage\/journal\//, 'journal'],
  [/\/src\/storage\//, 'database'],
  [/\/src\/upstream\/|node_modules\/(undici|eventsource-parser|cockatiel)\//, 'upstream'],
  [/\/src\/telemetry\/|node_modules\/prom-client\//, 'metrics'],
  [/\/src\/logger\.ts|node_modules\/(pino|sonic-boom|@pinojs|thread-stream)\//, 'log'],
  [
    /\/src\/(http|rates)\/|\/src\/app\.ts|node_modules\/(fastify|@fastify|ajv|find-my-way|fast-|avvio)/,
    'http',
  ],
  [/\/src\/conversation\//, 'domain'],
  [/^node:_http/, 'http'],
]

/**
 * The part of the time, of all that is not idle, that each room takes, from a place in the samples on (0: all of them, 0.5: the
 * second half, when the server is warm).
 */
export function partsOf({ nodes, samples, timeDeltas }: Profile, from = 0): Record<Room, number> {
  const parents = new Map<number, ProfileNode>()
  const byId = new Map(nodes.map((node) => [node.id, node]))
  for (const node of nodes) for (const child of node.children ?? []) parents.set(child, node)
  const known = new Map<number, Room | undefined>()
  const roomOf = (node: ProfileNode): Room | undefined => {
    if (node.callFrame.functionName === '(garbage collector)') return 'gc'
    if (node.callFrame.functionName === '(idle)') return undefined
    for (let at: ProfileNode | undefined = node; at !== undefined; at = parents.get(at.id)) {
      const { url } = at.callFrame
      const room = places.find(([pattern]) => pattern.test(url))?.[1]
      if (room !== undefined) return room
    }
    return 'runtime'
  }
  const times = Object.fromEntries(Object.keys(rooms).map((room) => [room, 0])) as Record<Room, number>
  let all = 0
  for (const [n, id] of samples.entries()) {
    const node = byId.get(id)
    if (n < samples.length * from || node === undefined) continue
    if (!known.has(id)) known.set(id, roomOf(node))
    const room = known.get(id)
    if (room === undefined) continue
    times[room] += timeDeltas[n] ?? 0
    all += timeDeltas[n] ?? 0
  }
  for (const room of Object.keys(times) as Room[]) times[room] /= all
  return times
}
