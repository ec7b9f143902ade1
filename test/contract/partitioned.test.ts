import { Client } from 'pg'
import { beforeAll, expect, it, onTestFinished } from 'vitest'
import { partitionTables } from '../../bench/partition-tables.ts'
import { openStorage } from '../../src/storage/open-storage.ts'
import { postgresForTests } from '../support/start-postgres.ts'
import { storeContract } from './store-contract.ts'

const postgres = postgresForTests()
let url: string

const open = () => openStorage({ url, dir: '', durability: 'full', now: 1 })

beforeAll(async () => {
  url = await postgres.newDatabase()
  await (await open())[Symbol.asyncDispose]()
  const client = new Client(url)
  await client.connect()
  await partitionTables(client, 4)
  await client.end()
})

storeContract('Postgres, its tables divided by tenant and conversation', async () => {
  const opened = async () => {
    const storage = await open()
    onTestFinished(() => storage[Symbol.asyncDispose]())
    return storage
  }
  const { store, shared } = await opened()
  return { store, shared, reopen: async () => (await opened()).store }
})

it('what the contract kept lies in all partitions', async () => {
  const client = new Client(url)
  await client.connect()
  onTestFinished(() => client.end())
  for (const table of ['conversations', 'turns', 'items']) {
    const { rows } = await client.query(
      `SELECT DISTINCT tableoid::regclass::text AS part FROM ${table} ORDER BY 1`,
    )
    expect(rows.map(({ part }) => part)).toEqual([0, 1, 2, 3].map((part) => `${table}_${part}`))
  }
})
