import { readdirSync, rmSync } from 'node:fs'
import { expect, it } from 'vitest'
import { clientOf } from '../support/client.ts'
import { fill, smallDisk } from '../support/small-disk.ts'
import { startServer } from '../support/start-server.ts'
import { startTranscriptUpstream } from '../support/transcript-upstream.ts'

it('promise 4: a full disk is a 507, reads still work, and it recovers by itself', async () => {
  const upstream = await startTranscriptUpstream()
  const dataDir = smallDisk()
  const env = { OPENAI_BASE_URL: upstream.baseUrl }
  const server = await startServer({ dataDir, env })
  const client = clientOf(server.url)
  expect((await client.query('민수', 'before')).status).toBe(200)
  upstream.faults.push({ delay: 1_000 })
  const cut = ['running', 'waiting', 'waiting too'].map((input) => client.query('민수', input))
  await upstream.arrived(2)
  const filler = fill(dataDir)
  for (const reply of await Promise.all(cut))
    expect([reply.status, reply.body.code]).toEqual([507, 'storage_full'])
  const refused = await client.query('지수', 'new '.repeat(2_000))
  expect([refused.status, refused.body.code]).toEqual([507, 'storage_full'])
  expect((await client.history('민수')).body).toHaveLength(2)
  const context = await client.send('GET', `/clients/${encodeURIComponent('민수')}/context`)
  expect([context.status, context.body.items?.length]).toEqual([200, 2])
  expect((await client.send('GET', '/readyz')).status).toBe(200)

  rmSync(filler)
  await expect.poll(async () => (await client.query('민수', 'after')).status, { timeout: 5_000 }).toBe(200)
  await server.end('SIGTERM')
  const asked = upstream.journal.length
  const again = clientOf((await startServer({ dataDir, env })).url)
  const { body } = await again.history('민수')
  expect(
    body.map(({ role, content }: { role: string; content: string }) => role === 'user' && content),
  ).toEqual(['before', false, 'after', false])
  expect(upstream.journal).toHaveLength(asked) // what was answered with 507 does not run later
})

it('a backup for which there is no room is a 507, and leaves nothing in the way of the server', async () => {
  const dataDir = smallDisk()
  const { url } = await startServer({ dataDir })
  const client = clientOf(url)
  expect((await client.query('민수', 'before')).status).toBe(200)
  const filler = fill(dataDir)
  const refused = await client.send('GET', '/admin/backup')
  expect([refused.status, refused.body.code]).toEqual([507, 'storage_full'])
  expect(readdirSync(dataDir).toSorted()).toEqual(['daehwa.db', 'daehwa.db-wal', 'filler'])
  rmSync(filler)
  expect((await client.query('민수', 'after')).status).toBe(200)
  expect((await fetch(`${url}/admin/backup`)).status).toBe(200)
})
