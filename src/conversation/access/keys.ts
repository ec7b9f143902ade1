import { hash, randomBytes, timingSafeEqual } from 'node:crypto'
import { clientName } from '../client-name.ts'
import { DaehwaError, invalid } from '../errors.ts'
import { newId } from '../ids.ts'
import type { Monotonic, Now } from '../ports.ts'
import type { ApiKey, KeyStore } from './key-store.ts'
import type { KeyLimits } from './limits.ts'

/** What every secret begins with, so that people and scanners know one when they see it. */
const prefix = 'daehwa_'
const secretBytes = 32
const shape = new RegExp(`^${prefix}[\\w-]{43}$`)
/** For how long a look into the database holds, so that a request costs none, and of how many keys. */
const remembered = { ms: 2_000, keys: 10_000 } as const

/** What a key is to be. */
export interface KeyWish {
  readonly tenant: string
  readonly client?: string | undefined
  /** Unix milliseconds. */
  readonly expiresAt?: number | undefined
  readonly limits?: KeyLimits
}

/** The keys of tenants: 256 random bits each, of which nothing but a digest is kept. */
export class Keys {
  readonly #store: KeyStore
  readonly #now: Now
  readonly #clock: Monotonic
  /** By digest; also those that are not there. */
  readonly #looks = new Map<string, { readonly at: number; readonly key: Promise<ApiKey | undefined> }>()

  constructor({ store, now, clock }: { store: KeyStore; now: Now; clock: Monotonic }) {
    this.#store = store
    this.#now = now
    this.#clock = clock
  }

  /** Makes a key. Its secret is in the answer, and nowhere else ever again. @throws DaehwaError `invalid_request` */
  async create({
    tenant,
    client,
    expiresAt,
    limits = {},
  }: KeyWish): Promise<{ key: ApiKey; secret: string }> {
    checkTenant(tenant)
    const at = this.#now()
    if (expiresAt !== undefined && expiresAt <= at)
      throw invalid('The key would have expired already. Send a time to come.')
    const secret = prefix + randomBytes(secretBytes).toString('base64url')
    const key: ApiKey = {
      ...{ id: newId('key', at), tenant, client: client === undefined ? undefined : clientName(client) },
      ...{ hint: secret.slice(0, prefix.length + 4), createdAt: at, expiresAt, revokedAt: undefined },
      limits,
    }
    await this.#store.addKey(key, digestOf(secret))
    return { key, secret }
  }

  /** The newest first; those of one tenant, or all. */
  list(tenant: string | undefined): Promise<ApiKey[]> {
    return this.#store.keys(tenant)
  }

  /** Changes what a key may use. @throws DaehwaError `not_found` */
  async limit(id: string, change: (limits: KeyLimits) => KeyLimits): Promise<ApiKey> {
    return this.#known(await this.#store.limitKey(id, change))
  }

  /** From now on nobody gets in with it; what is open with it is closed within seconds. @throws DaehwaError `not_found` */
  async revoke(id: string): Promise<ApiKey> {
    return this.#known(await this.#store.revokeKey(id, this.#now()))
  }

  /** The key of a secret, if it may be used now. */
  async find(secret: string): Promise<ApiKey | undefined> {
    if (!shape.test(secret)) return undefined
    const key = await this.#look(digestOf(secret))
    return key !== undefined && this.#isUsable(key) ? key : undefined
  }

  /** Those of some keys that may be used no more. */
  async unusable(ids: readonly string[]): Promise<string[]> {
    const usable = (await this.#store.keysWithIds(ids)).filter((key) => this.#isUsable(key))
    const known = new Set(usable.map(({ id }) => id))
    return ids.filter((id) => !known.has(id))
  }

  /** Whether any key may be used now. */
  async exist(): Promise<boolean> {
    return (await this.#store.keys(undefined)).some((key) => this.#isUsable(key))
  }

  /** A key that was changed. */
  #known(key: ApiKey | undefined): ApiKey {
    this.#looks.clear()
    if (key === undefined) throw DaehwaError.of('not_found', { what: 'such key' })
    return key
  }

  #isUsable({ expiresAt, revokedAt }: ApiKey): boolean {
    return revokedAt === undefined && (expiresAt === undefined || expiresAt > this.#now())
  }

  #look(digest: string): Promise<ApiKey | undefined> {
    const known = this.#looks.get(digest)
    const at = this.#clock()
    if (known !== undefined && at - known.at < remembered.ms) return known.key
    const key = this.#store.keyByDigest(digest)
    this.#looks.delete(digest)
    this.#looks.set(digest, { at, key })
    key.catch(() => this.#looks.delete(digest))
    for (const oldest of this.#looks.keys()) {
      if (this.#looks.size <= remembered.keys) break
      this.#looks.delete(oldest)
    }
    return key
  }
}

/** Tells whether a secret is the expected one; how long that takes tells nothing of where they differ. */
export function sameSecretAs(expected: string): (secret: string) => boolean {
  const digest = hash('sha256', expected, 'buffer')
  return (secret) => timingSafeEqual(hash('sha256', secret, 'buffer'), digest)
}

/** Whether a text could be one of these keys. */
export const isKeyShaped = (text: string): boolean => text.startsWith(prefix)

const digestOf = (secret: string): string => hash('sha256', secret)

/** @throws DaehwaError `invalid_request` */
export function checkTenant(name: string): void {
  if (/^[a-z0-9][a-z0-9._-]{0,63}$/.test(name)) return
  throw invalid(
    "'tenant' must have 1 to 64 small letters, digits, '.', '_' or '-', and begin with a letter or digit.",
  )
}
