import { Client } from 'pg'
import { describe, expect, it } from 'vitest'
import { historyOf } from '../support/history-of.ts'
import { ask, open } from '../support/postgres-store.ts'
import { postgresForTests } from '../support/start-postgres.ts'
import { answer, begin, commit, contents, finish, someone, turn } from './samples.ts'

const postgres = postgresForTests()

describe('what comes between the look for a client and what is done to it', () => {
  /** Holds the row of a conversation, and answers how many wait for it. */
  const between = async (url: string, conversation: string | undefined) => {
    const holder = new Client(url)
    await holder.connect()
    await holder.query('BEGIN')
    await holder.query('SELECT 1 FROM conversations WHERE id = $1 FOR UPDATE', [conversation])
    const waits = `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`
    return {
      waiting: async () => (await ask(url, waits)).length,
      letGo: async () => {
        await holder.query('COMMIT')
        await holder.end()
      },
    }
  }

  it('is not erased by halves when it is a first message', async () => {
    const url = await postgres.newDatabase()
    const { store } = await open(url)
    const key = someone()
    const held = await between(url, await store.beginImport(key, 1))
    const erased = store.forget(key, 2)
    await expect.poll(held.waiting).toBe(1)
    const claim = await begin(store, turn(key, 'q'))
    await held.letGo()
    expect(await erased).toEqual({ messages: 0, turns: [], conversation: undefined })
    expect(await commit(store, claim, answer('a'))).toBe(true)
    expect(contents(await historyOf(store, key))).toEqual(['q', 'a'])
  })

  it('is seen by the end of an import when it is a first message, also where a history was read before', async () => {
    const url = await postgres.newDatabase()
    const { store } = await open(url)
    const key = someone()
    await historyOf(store, key)
    const { state } = await store.updateClient(key, {}, 1)
    const importing = await store.beginImport(key, 1)
    const held = await between(url, state.conversation)
    const asked = begin(store, turn(key, 'q'))
    await expect.poll(held.waiting).toBe(1)
    const nothing = { turns: 0, inputTokens: 0, outputTokens: 0, compaction: undefined }
    const finished = store.finishImport(key, importing, { settings: {}, createdAt: 1, ...nothing }, 2)
    const refused = expect(finished).rejects.toMatchObject({ code: 'history_exists' })
    await expect.poll(held.waiting).toBe(2)
    await held.letGo()
    await refused
    expect(await commit(store, await asked, answer('a'))).toBe(true)
    expect(contents(await historyOf(store, key))).toEqual(['q', 'a'])
  })

  it('locks nothing for those who read, also where an import was begun before', async () => {
    const { store } = await open(await postgres.newDatabase())
    const key = someone()
    await store.beginImport(key, 1)
    await finish(store, key, 'q', 'a')
    const last = await finish(store, key, 'q2', 'a2')
    const before: unknown[] = []
    for await (const page of store.history(key, 5, last)) before.push(...contents(page))
    expect(before).toEqual(['q', 'a'])
  })
})

it('what an older version left behind of clients that were erased goes with an update, and nothing else', async () => {
  const url = await postgres.newDatabase()
  const { store } = await open(url)
  const [left, erased, stays] = [someone(), someone(), someone()]
  for (const key of [left, erased, stays]) await finish(store, key, 'q', 'a')
  const [running, known] = [turn(left, 'running'), turn(erased, 'known')]
  for (const one of [running, known]) await store.accept(one, 9)
  await store.forget(erased, 5)
  await ask(url, 'DELETE FROM conversations WHERE tenant = $1', [left.tenant])
  await ask(url, 'DELETE FROM schema_migrations WHERE version = 14')
  const again = (await open(url)).store
  expect(await again.turn(left.tenant, running.id)).toBeUndefined()
  expect(await again.turn(erased.tenant, known.id)).toMatchObject({ error: { code: 'history_deleted' } })
  expect(contents(await historyOf(again, stays))).toEqual(['q', 'a'])
  const kept = `SELECT (SELECT count(*)::int FROM turns) AS turns, (SELECT count(*)::int FROM items) AS items`
  expect(await ask(url, kept)).toEqual([{ turns: 2, items: 2 }])
})
