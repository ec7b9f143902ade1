import { randomUUID } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import { expect } from 'vitest'
import { clientOf, type Reply } from './client.ts'
import { checkHistory, type Operation } from './history-checker.ts'
import { noticed, type startCluster } from './start-cluster.ts'

type Cluster = Awaited<ReturnType<typeof startCluster>>

interface Worker {
  readonly name: string
  readonly operations: Operation[]
  readonly replies: Reply[]
}

/** Asks, clears and changes the model, as fast as it is answered, until it is told to stop. */
async function work({ balancer }: Cluster, worker: Worker, signal: AbortSignal): Promise<void> {
  const { name, operations, replies } = worker
  const client = clientOf(balancer.url)
  while (!signal.aborted) {
    const [dice, input] = [Math.random(), `${name} ${randomUUID()}`]
    const ask = () => {
      if (dice < 0.1) return client.clear(name)
      if (dice < 0.2) return client.setModel(name, dice < 0.15 ? 'other' : 'transcript')
      return client.query(name, input)
    }
    const reply = await ask().catch(() => undefined)
    const answered = reply?.status === 200
    if (dice < 0.1) operations.push({ kind: 'delete', answered })
    else if (dice >= 0.2)
      operations.push({ kind: 'query', input, answer: answered ? reply.body.response : undefined })
    if (reply !== undefined) replies.push(reply)
    if (!answered) await wait(20)
  }
}

/** Keeps `count` clients at work while something is done to the cluster. */
export async function underLoad(
  cluster: Cluster,
  count: number,
  whileWorking: () => Promise<void>,
): Promise<Worker[]> {
  const done = new AbortController()
  const workers = Array.from({ length: count }, (_, n) => ({
    name: `client ${n}`,
    operations: [],
    replies: [],
  }))
  const working = workers.map((worker) => work(cluster, worker, done.signal))
  await whileWorking()
  done.abort()
  await Promise.all(working)
  return workers
}

/** Nothing stays busy, and what every client was told is true. Answers how many queries were answered. */
export async function expectWhole(
  { balancer, upstream, unended }: Cluster,
  workers: Worker[],
): Promise<number> {
  await expect.poll(unended, { timeout: 2 * noticed + 3_000 }).toBe(0)
  const client = clientOf(balancer.url)
  let answered = 0
  for (const { name, operations } of workers) {
    const last = await client.query(name, `${name} last`)
    expect(last.status, last.text).toBe(200)
    operations.push({ kind: 'query', input: `${name} last`, answer: last.body.response })
    answered += operations.filter((op) => op.kind === 'query' && op.answer !== undefined).length
    const asked = upstream.journal.map(({ messages }) => messages.at(-1)?.content ?? '')
    const history = (await client.history(name)).body
    expect(checkHistory({ operations, history, asked, retries: 2 })).toEqual([])
  }
  return answered
}

/** What the clients were told: statuses with their codes. */
export const statuses = (workers: readonly Worker[]) =>
  new Set(workers.flatMap(({ replies }) => replies.map(({ status, body }) => `${status} ${body.code ?? ''}`)))
