import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, it } from 'vitest'
import { clientOf } from './client.ts'
import { startFaultProxy } from './fault-proxy.ts'
import { namedPoints } from './named-points.ts'
import { startServer } from './start-server.ts'
import { startTranscriptUpstream } from './transcript-upstream.ts'

/** Where the turn stands in the database, and how often the upstream was asked for it. */
const stands: Record<string, [status: string, asked: number]> = {
  'after accept': ['queued', 0],
  'after dispatch': ['in_progress', 1],
  'in mid-stream': ['in_progress', 1],
  'before commit': ['in_progress', 1],
  'after commit and before the reply': ['completed', 1],
}

it.each(Object.entries(namedPoints))('a server that is killed %s was killed there', async (point, bring) => {
  const upstream = await startTranscriptUpstream()
  const server = await startServer({ env: { OPENAI_BASE_URL: upstream.baseUrl } })
  const proxy = await startFaultProxy(server.url)
  proxy.fault.halfOpenAfter = 0
  const { input, reply } = await bring(clientOf(server.url), 'a', upstream, clientOf(proxy.url))
  expect(await server.end('SIGKILL')).toBeNull()
  expect(await reply).toBeUndefined()
  const database = new DatabaseSync(join(server.dataDir, 'daehwa.db'))
  const rows = database.prepare('SELECT status FROM turns ORDER BY id').all()
  database.close()
  const asked = upstream.journal.filter(({ messages }) => messages.at(-1)?.content === input)
  expect([rows.at(-1)?.['status'], asked.length]).toEqual(stands[point])
})
