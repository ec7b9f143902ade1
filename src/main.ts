import { setTimeout as wait } from 'node:timers/promises'
import packageJson from '../package.json' with { type: 'json' }
import { announce, greetUpstream } from './announce.ts'
import { buildApp } from './app.ts'
import { type Config, parseConfig } from './config/config.ts'
import { readEnv, readFile } from './config/env.ts'
import { soleUpstream, type UpstreamConfig } from './config/upstreams.ts'
import { ConfigError } from './config/values.ts'
import { Keys } from './conversation/access/keys.ts'
import { Clients } from './conversation/clients.ts'
import { Calibration } from './conversation/context/calibration.ts'
import { Compactor } from './conversation/context/compactor.ts'
import { rememberingPasts } from './conversation/context/past-cache.ts'
import { DaehwaError } from './conversation/errors.ts'
import { Membership } from './conversation/membership.ts'
import { Models } from './conversation/models.ts'
import { pacer } from './conversation/pacer.ts'
import type { Log } from './conversation/ports.ts'
import { Retention } from './conversation/retention.ts'
import { Turns } from './conversation/turns.ts'
import { silent } from './feed/silent.ts'
import type { App } from './http/app-type.ts'
import { createLogger } from './logger.ts'
import { requestRates } from './rates/request-rates.ts'
import { DiskError, OpenError } from './storage/database.ts'
import { openStorage } from './storage/open-storage.ts'
import { showState } from './telemetry/metrics.ts'
import { openObserver } from './telemetry/open-observer.ts'
import { tokenCounter } from './upstream/count-tokens.ts'
import { startDemoModel } from './upstream/demo-model.ts'
import { OpenAiUpstream } from './upstream/openai-upstream.ts'
import { RetryingUpstream } from './upstream/retrying-upstream.ts'

const { version } = packageJson
/** Signals this close together are one: a terminal and npm both send theirs. Milliseconds. */
const oneSignal = 1_000
/** How long running turns may go on after SIGTERM, open connections after that, and a database that does not answer. Milliseconds. */
const grace = { turns: 20_000, connections: 3_000, database: 500 }

try {
  await run(parseConfig(readEnv(), readFile))
  process.exit(0)
} catch (error) {
  process.stderr.write(`daehwa: ${explain(error)}\n`)
  process.exit(1)
}

async function run(config: Config): Promise<void> {
  const { log, end } = createLogger(config.logLevel)
  process.on('uncaughtException', (err) => {
    const why = err instanceof DiskError ? err.message : 'nobody foresaw this error'
    log.fatal({ err }, `the process ends: ${why}`)
    process.exit(1)
  })
  const signal = stopSignal()
  let stopping = false

  await using resources = new AsyncDisposableStack()
  const now = Date.now
  const clock = () => performance.now()
  const pace = pacer(clock)
  const { observer, metrics } = resources.use(await openObserver(config.traces, { clock, log, version }))
  const storage = resources.use(
    await openStorage({
      ...{ url: config.databaseUrl, dir: config.dataDir, durability: config.durability },
      ...{ now: now(), observer },
      migrates: config.migrate === 'auto',
    }),
  )
  const redis =
    config.redisUrl === undefined ? undefined : resources.use(await openRedis(config.redisUrl, log))
  const feed = redis ?? silent
  const store = rememberingPasts(storage.store, pace, storage.servers)
  const demo = config.upstreams.length === 0
  const startDemo = async () => {
    const { baseUrl } = resources.use(await startDemoModel())
    return soleUpstream(baseUrl, undefined, config.timeouts)
  }
  const [first = await startDemo(), ...others] = config.upstreams
  const connect = ({ name, timeouts: limits, ...options }: UpstreamConfig) => {
    const upstream = resources.use(new OpenAiUpstream({ ...options, name, limits, observer }))
    return [name, new RetryingUpstream(upstream, { name, observer })] as const
  }
  const upstreams = new Map([first, ...others].map(connect))
  const models = new Models({
    upstreams,
    catalog: { upstreams: [first, ...others], aliases: config.aliases, otherWindow: config.contextWindow },
    defaultModel: config.defaultModel,
    clock,
    log,
  })
  const { shared } = storage
  const keys = new Keys({ store, now, clock })
  await requireKey(config, keys)
  const membership = new Membership({ store, shared, lease: config.lease, now, clock, log })
  const told = { now, clock, log, observer }
  const places = { store, past: store, ledger: store }
  const basics = { ...places, upstreams, models, countTokens: tokenCounter(pace), ...told }
  const domain = {
    ...basics,
    compactor: new Compactor(basics),
    calibration: new Calibration(),
    summaryModel: config.summaryModel,
    turnTimeout: config.turnTimeout,
    maxWaiting: config.maxWaiting,
    maxTurns: config.maxTurns,
    shared,
    feed,
    instance: () => membership.id,
  }
  const turns = new Turns(domain)
  showState(metrics, { turns, feed, upstreams })
  const app = await buildApp({
    ...{ store, models, turns, clients: new Clients(domain, turns), now },
    ...{ observer, metrics: metrics.registry },
    logger: log,
    access: { keys, operatorKey: config.apiKey, keyless: config.keyless },
    countRequest: requestRates(redis?.commands),
    edges: config.edges,
    demo,
    isStopping: () => stopping,
    openApi: { version, publicUrl: config.publicUrl },
  })

  await membership.start(turns)
  await app.listen({ host: config.host, port: config.port })
  announce(app, config, storage.place)
  void greetUpstream(models, log)
  const retention = new Retention({ store, eraser: turns.eraser, retentionDays: config.retentionDays, log })
  retention.start()

  log.info({ signal: await signal }, 'shutting down: running turns are finished first')
  stopping = true
  await turns.drain(grace.turns)
  await closeApp(app)
  await Promise.race([Promise.all([retention.stop(), membership.stop()]), wait(grace.database)])
  await end('stopped')
  setTimeout(() => process.exit(0), grace.database) // whatever of it does not let go: nothing is left to be lost
}

/** Who listens to other machines asks for keys; without one nobody could ever come in. */
async function requireKey({ host, apiKey, keyless }: Config, keys: Keys): Promise<void> {
  if (keyless || apiKey !== undefined || (await keys.exist())) return
  throw new ConfigError(
    `HOST=${host} can be reached from other machines, and there is no key. Set DAEHWA_API_KEY (openssl rand -hex 32 makes one), or leave HOST out`,
  )
}

async function openRedis(url: string, log: Log) {
  const { RedisFeed } = await import('./feed/redis.ts') // 10 MB that one instance does without
  return new RedisFeed(url, log)
}

/** The first signal to stop. A later one ends the process at once. */
function stopSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let first: number | undefined
    const onSignal = (signal: NodeJS.Signals) => {
      first ??= performance.now()
      if (performance.now() - first > oneSignal) process.exit(1)
      resolve(signal)
    }
    process.on('SIGTERM', onSignal).on('SIGINT', onSignal)
  })
}

/** Waits for what is being answered, then cuts those who do not read their answer. */
async function closeApp(app: App): Promise<void> {
  const timer = setTimeout(() => app.server.closeAllConnections(), grace.connections)
  await app.close()
  clearTimeout(timer)
}

function explain(error: unknown): string {
  if (error instanceof ConfigError || error instanceof OpenError || error instanceof DaehwaError) {
    return error.message
  }
  if (error instanceof Error && 'code' in error) {
    if (error.code === 'EADDRINUSE')
      return `another program listens on port ${'port' in error ? error.port : ''} already. Stop it, or set PORT to another number`
    if (error.code === 'EACCES')
      return 'this user may not listen on this port. Set PORT to a number above 1023'
    if (error.code === 'ENOTFOUND')
      return 'HOST is no address of this machine. Set it to one, such as 127.0.0.1 or 0.0.0.0'
    if (error.code === 'EADDRNOTAVAIL') return 'this machine has no such address. Set HOST to one that it has'
  }
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
