import type { KeyLimits } from './limits.ts'

/** A key as it is kept: not its secret. Times are Unix milliseconds. */
export interface ApiKey {
  readonly id: string
  readonly tenant: string
  /** The only client that it may touch; undefined: all of the tenant's. */
  readonly client: string | undefined
  /** Its first letters, for people to know it by. */
  readonly hint: string
  readonly createdAt: number
  readonly expiresAt: number | undefined
  readonly revokedAt: number | undefined
  readonly limits: KeyLimits
}

export interface KeyStore {
  addKey(key: ApiKey, digest: string): Promise<void>
  /** By the SHA-256 of its secret, in hexadecimal digits. */
  keyByDigest(digest: string): Promise<ApiKey | undefined>
  /** Those of some that are there, in no order. */
  keysWithIds(ids: readonly string[]): Promise<ApiKey[]>
  /** The newest first; those of one tenant, or all. */
  keys(tenant: string | undefined): Promise<ApiKey[]>
  /** Changes its limits; undefined when there is none. */
  limitKey(id: string, change: (limits: KeyLimits) => KeyLimits): Promise<ApiKey | undefined>
  /** Revokes a key, if it is not revoked already; undefined when there is none. */
  revokeKey(id: string, at: number): Promise<ApiKey | undefined>
}
