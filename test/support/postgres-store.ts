import { Client } from 'pg'
import { onTestFinished } from 'vitest'
import { openStorage, type Storage } from '../../src/storage/open-storage.ts'

/** The store over a Postgres, until the test is over. */
export async function open(url: string): Promise<Storage> {
  const storage = await openStorage({ url, dir: '', durability: 'full', now: 1 })
  onTestFinished(() => storage[Symbol.asyncDispose]())
  return storage
}

/** Asks a database beside the store. */
export async function ask<Row>(url: string, sql: string, values: unknown[] = []): Promise<Row[]> {
  const client = new Client(url)
  await client.connect()
  try {
    return (await client.query(sql, values)).rows as Row[]
  } finally {
    await client.end()
  }
}
