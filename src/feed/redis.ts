import { Redis, type RedisOptions } from 'ioredis'
import type { Feed, Log } from '../conversation/ports.ts'

/** Milliseconds. A Redis that does not answer for so long is taken for dead, and connected to anew. */
const limits = { connect: 2_000, answer: 1_000, ping: 1_000, longestPause: 1_000 } as const
/** How much may be on its way to Redis at once, in UTF-16 units. What is told beyond that is lost, as it may be. */
const mostUnderway = 8 * 1024 * 1024

const closed = 'the connection was closed'

/** The channel on which every connection begins. */
const greeting = 'daehwa:hello'

/**
 * A feed over the channels of Redis ("Pub/Sub"), which keep nothing: what nobody hears is gone, and nothing of what is said
 * stays behind in Redis. While Redis is away it is alive again by itself as soon as Redis is.
 */
export class RedisFeed implements Feed, AsyncDisposable {
  readonly #log: Log
  readonly #place: string
  /** The connection for commands. */
  readonly commands: Redis
  /** A connection that listens can do nothing else. */
  readonly #listener: Redis
  readonly #heard = new Map<string, Set<(message: string) => void>>()
  readonly #pinging: NodeJS.Timeout
  /** Undefined until something is known. */
  #alive: boolean | undefined
  /** The connections that can do what they are for. */
  readonly #able = new Set<Redis>()
  #trouble = closed
  #underway = 0

  /** @param url `redis://` or `rediss://` (TLS), with user and password where Redis asks for them */
  constructor(url: string, log: Log) {
    this.#log = log
    this.#place = new URL(url).host
    const options = {
      connectTimeout: limits.connect,
      commandTimeout: limits.answer,
      retryStrategy: (times: number) => Math.min(times * 50, limits.longestPause),
      maxRetriesPerRequest: 0,
      enableOfflineQueue: false,
      enableReadyCheck: false, // it would need the right to INFO, and what follows tells as well
      disableClientInfo: true,
      autoResubscribe: false, // the list of channels is ours
    } satisfies RedisOptions
    this.commands = new Redis(url, { ...options, enableAutoPipelining: true })
    this.#listener = new Redis(url, options)
    for (const redis of [this.commands, this.#listener]) {
      redis.on('error', (error) => (this.#trouble = kindOf(error)))
      redis.on('close', () => this.#is(redis, false))
      redis.on('ready', () => void this.#begin(redis))
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
    this.commands
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
      this.#subscribe(channel)
    }
    return {
      [Symbol.dispose]: () => {
        all.delete(heard)
        if (all.size > 0 || this.#heard.get(channel) !== all) return
        this.#heard.delete(channel)
        if (this.#able.has(this.#listener)) this.#listener.unsubscribe(channel).catch(() => {})
      },
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#pinging)
    for (const redis of [this.commands, this.#listener]) redis.removeAllListeners('close')
    this.commands.disconnect()
    this.#listener.disconnect()
  }

  /** A connection is of use when Redis has let it do once what it is for. */
  async #begin(redis: Redis): Promise<void> {
    try {
      if (redis === this.commands) await redis.publish(greeting, '')
      else await redis.subscribe(greeting, ...this.#heard.keys())
      this.#is(redis, true)
    } catch (error) {
      if (error instanceof Error && isRefusal(error)) this.#trouble = kindOf(error)
      this.#is(redis, false)
    }
  }

  #subscribe(channel: string): void {
    if (this.#able.has(this.#listener)) this.#listener.subscribe(channel).catch(() => {}) // #ping finds out why
  }

  /** A connection may be dead without a word; one that was of no use is tried again. */
  #ping(): void {
    for (const redis of [this.commands, this.#listener]) {
      if (redis.status !== 'ready') continue
      if (this.#able.has(redis)) redis.ping().catch((error) => this.#doubt(redis, error))
      else void this.#begin(redis)
    }
  }

  #doubt(redis: Redis, error: Error): void {
    if (isRefusal(error)) return // it answers
    this.#trouble = kindOf(error)
    redis.disconnect(true)
  }

  #is(redis: Redis, able: boolean): void {
    if (able) this.#able.add(redis)
    else this.#able.delete(redis)
    const alive = this.#able.size === 2
    if (alive === this.#alive || (able && !alive)) return
    this.#alive = alive
    const fields = { redis: this.#place, ...(!alive && { reason: this.#trouble }) }
    if (alive) this.#log.info(fields, 'Redis answers')
    else this.#log.warn(fields, 'Redis is away: other instances are heard of by the database')
    this.#trouble = closed
  }
}

/** Redis has answered, and said no. */
const isRefusal = (error: unknown): boolean => error instanceof Error && error.name === 'ReplyError'

/** `ECONNREFUSED`, `WRONGPASS`, `NOPERM` …: of what Redis says the first word, since it may repeat what it was sent. */
function kindOf(error: Error): string {
  const code: unknown = 'code' in error ? error.code : undefined
  if (typeof code === 'string') return code
  if (isRefusal(error)) return /^\w+/.exec(error.message)?.[0] ?? error.name
  return error.message === 'Command timed out' ? 'it does not answer' : error.name
}
