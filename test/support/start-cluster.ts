import { Client } from 'pg'
import { startBalancer } from './start-balancer.ts'
import type { TestPostgres } from './start-postgres.ts'
import { type RunningServer, startServer } from './start-server.ts'
import { startTranscriptUpstream } from './transcript-upstream.ts'

/** Milliseconds: short, so that a test need not wait for half a minute. */
export const lease = 2_000
/** When an instance that died is taken for dead at the latest: its lease, and a sixth of it for the look of the others. */
export const noticed = (lease * 7) / 6

/** Instances of the real program over one new database, behind a balancer. */
export async function startCluster(postgres: TestPostgres, count: number, more: Record<string, string> = {}) {
  const upstream = await startTranscriptUpstream()
  const database = await postgres.newDatabase()
  const env = {
    ...{ OPENAI_BASE_URL: upstream.baseUrl, DATABASE_URL: database, DAEHWA_LEASE_MS: `${lease}` },
    DAEHWA_CONTEXT_WINDOW: '1000000', // nothing is left out of a context or summarised: the checker wants all of it
    ...more,
  }
  const start = (own = {}): Promise<RunningServer> => startServer({ env: { ...env, ...own } })
  const servers = await Promise.all(Array.from({ length: count }, () => start()))
  const balancer = await startBalancer(servers.map(({ url }) => url))
  /** How many turns wait or run. */
  const unended = async (): Promise<number> => {
    const client = new Client(database)
    await client.connect()
    const sql = `SELECT (SELECT count(*) FROM turns WHERE status IN ('queued', 'in_progress'))
      + (SELECT count(*) FROM conversations WHERE active_turn IS NOT NULL) AS open`
    const { rows } = await client.query<{ open: string }>(sql)
    await client.end()
    return Number(rows[0]?.open)
  }
  return { upstream, database, servers, balancer, start, unended }
}
