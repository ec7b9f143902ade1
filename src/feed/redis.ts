import { Redis, type RedisOptions } from 'ioredis'
import type { Feed, Log } from '../conversation/ports.ts'

/** Milliseconds. A Redis that does not answer for so long is taken for dead, and connected to anew. */
const limits = { connect: 2_000, answer: 1_000, ping: 1_000, longestPause: 1_000 } as const
/** How much may be on its way to Redis at once, in UTF-16 units. What is told beyond that is lost, as it may be. */
const mostUnderway = 8 * 1024 * 1024

/**
 * A feed over the channels of Redis ("Pub/Sub"), which keep nothing: what nobody hears is gone, and nothing of what is said
 * stays behind in Redis. While Redis is away it is alive again by itself as soon as Redis is.
 */
export class RedisFeed implements Feed, AsyncDisposable {
  readonly #log: Log
  readonly #speaker: Redis
  /** A connection that listens can do nothing else. */
  readonly #listener: Redis
  readonly #heard = new Map<string, Set<(message: string) => void>>()
  readonly #pinging: NodeJS.Timeout
  /** Undefined until something is known. */
  #alive: boolean | undefined
  #trouble = ''
  #underway = 0

  /** @param url `redis://` or `rediss://` (TLS), with user and password where Redis asks for them */
  constructor(url: string, log: Log) {
    this.#log = log
    const options = {
      connectTimeout: limits.connect,
      commandTimeout: limits.answer,
      retryStrategy: (times: number) => Math.min(times * 50, limits.longestPause),
      maxRetriesPerRequest: 0,
      enableOfflineQueue: false,
      autoResubscribe: false, // the list of channels is ours
      connectionName: 'daehwa',
    } satisfies RedisOptions
    this.#speaker = new Redis(url, { ...options, enableAutoPipelining: true })
    this.#listener = new Redis(url, options)
    for (const redis of [this.#speaker, this.#listener]) {
      redis.on('error', (error) => (this.#trouble = kindOf(error)))
      redis.on('close', () => this.#say(false))
      redis.on('ready', () => {
        if (redis === this.#listener) this.#subscribe([...this.#heard.keys()])
        if (this.#speaker.status === 'ready' && this.#listener.status === 'ready') this.#say(true)
      })
    }
    this.#listener.on('message', (channel: string, message: string) => {
      for (const heard of this.#heard.get(channel) ?? []) heard(message)
    })
    this.#pinging = setInterval(() => this.#ping(), limits.ping)
  }

  get alive(): boolean {
    return this.#alive === true
  }

  tell(channel: string, message: string): void {
    if (!this.alive || this.#underway + message.length > mostUnderway) return
    this.#underway += message.length
    this.#speaker
      .publish(channel, message)
      .catch(() => {})
      .finally(() => {
        this.#underway -= message.length
      })
  }

  listen(channel: string, heard: (message: string) => void): Disposable {
    const all = this.#heard.get(channel) ?? new Set()
    all.add(heard)
    if (all.size === 1) {
      this.#heard.set(channel, all)
      this.#subscribe([channel])
    }
    return {
      [Symbol.dispose]: () => {
        all.delete(heard)
        if (all.size > 0 || this.#heard.get(channel) !== all) return
        this.#heard.delete(channel)
        if (this.#listener.status === 'ready') this.#listener.unsubscribe(channel).catch(() => {})
      },
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#pinging)
    for (const redis of [this.#speaker, this.#listener]) redis.removeAllListeners('close')
    this.#speaker.disconnect()
    this.#listener.disconnect()
  }

  #subscribe(channels: readonly string[]): void {
    if (channels.length === 0 || this.#listener.status !== 'ready') return
    this.#listener.subscribe(...channels).catch(() => this.#listener.disconnect(true))
  }

  /** A connection may be dead without a word. */
  #ping(): void {
    for (const redis of [this.#speaker, this.#listener]) {
      if (redis.status === 'ready') redis.ping().catch(() => redis.disconnect(true))
    }
  }

  #say(alive: boolean): void {
    if (alive === this.#alive) return
    this.#alive = alive
    if (alive) this.#log.info({}, 'Redis answers')
    else
      this.#log.warn({ reason: this.#trouble }, 'Redis is away: other instances are heard of by the database')
  }
}

/** `ECONNREFUSED`, `WRONGPASS` …: the first word, since a message of Redis may repeat what it was sent. */
function kindOf(error: Error): string {
  const code: unknown = 'code' in error ? error.code : undefined
  return /^\w+/.exec(typeof code === 'string' ? code : error.message)?.[0] ?? error.name
}
