import { hash } from 'node:crypto'
import { expect, it } from 'vitest'
import type { ApiKey, KeyStore } from '../../../src/conversation/access/key-store.ts'
import { Keys, sameSecretAs } from '../../../src/conversation/access/keys.ts'

/** Keys over a store that counts how often it is looked into, by a clock that only the test moves. */
function keysOf() {
  const kept = new Map<string, ApiKey>()
  const seen = { at: 0, looks: [] as string[], fails: false }
  const none = async () => undefined
  const store: KeyStore = {
    addKey: async (key, digest) => void kept.set(digest, key),
    async keyByDigest(digest) {
      seen.looks.push(digest)
      if (seen.fails) throw new Error('the store is away')
      return kept.get(digest)
    },
    ...{ keysWithIds: async () => [], keys: async () => [], limitKey: none, revokeKey: none },
  }
  return { seen, keys: new Keys({ store, now: () => seen.at, clock: () => seen.at }) }
}

const unknown = `daehwa_${'a'.repeat(43)}`

it('looks for a key once in two seconds, by its digest, and finds no other in its place', async () => {
  const { keys, seen } = keysOf()
  const made = await keys.create({ tenant: 'a' })
  const other = await keys.create({ tenant: 'b' })
  for (let n = 0; n < 3; n++) {
    expect(await keys.find(made.secret)).toEqual(made.key)
    expect(await keys.find(other.secret)).toEqual(other.key)
    expect(await keys.find(unknown)).toBeUndefined()
  }
  const all = [made.secret, other.secret, unknown].map((secret) => hash('sha256', secret))
  expect(seen.looks).toEqual(all)
  seen.at = 1_999
  await keys.find(made.secret)
  expect(seen.looks).toHaveLength(3)
  seen.at = 2_000
  for (const secret of [made.secret, made.secret, unknown, other.secret]) await keys.find(secret)
  expect(seen.looks.slice(3)).toEqual([all[0], all[2], all[1]])
})

it('remembers no look that has failed', async () => {
  const { keys, seen } = keysOf()
  const { key, secret } = await keys.create({ tenant: 'a' })
  seen.fails = true
  await expect(keys.find(secret)).rejects.toThrow('away')
  seen.fails = false
  expect(await keys.find(secret)).toEqual(key)
})

it('takes the same secret for the same, and no other', () => {
  const secret = 'the key of the operator, 대화'
  expect(sameSecretAs(secret)(secret)).toBe(true)
  for (const other of ['', secret.slice(1), `${secret} `, secret.replace('o', 'ö'), secret.replace('t', 'T')])
    expect(sameSecretAs(secret)(other), other).toBe(false)
})
