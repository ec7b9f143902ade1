import { describe, expect, it } from 'vitest'
import { parseConfig } from '../../src/config/config.ts'

describe('settings', () => {
  it('have the documented defaults', () => {
    expect(parseConfig({})).toEqual({
      port: 10_000,
      host: '127.0.0.1',
      publicUrl: undefined,
      edges: {
        hosts: new Set(['localhost', '127.0.0.1', '[::1]']),
        origins: new Set(),
        publicOrigin: undefined,
      },
      url: undefined,
      upstreams: [],
      aliases: new Map(),
      defaultModel: undefined,
      summaryModel: undefined,
      contextWindow: 8_192,
      databaseUrl: undefined,
      redisUrl: undefined,
      migrate: 'auto',
      dataDir: './data',
      durability: 'full',
      apiKey: undefined,
      keyless: true,
      turnTimeout: 300_000,
      lease: 30_000,
      maxWaiting: 64,
      maxTurns: 2_000,
      timeouts: { connect: 5_000, firstToken: 60_000, idle: 60_000 },
      logLevel: 'info',
    })
  })

  it('ask OpenAI when there is only its key, with a model of its', () => {
    const { upstreams, defaultModel } = parseConfig({ OPENAI_API_KEY: 'sk-test' })
    expect(upstreams).toMatchObject([
      { name: 'default', prefix: '', baseUrl: 'https://api.openai.com/v1', apiKey: 'sk-test' },
    ])
    expect(defaultModel).toBe('gpt-4.1-mini')
  })

  it('ask another upstream with or without a key, and take its first model', () => {
    const { upstreams, defaultModel } = parseConfig({ OPENAI_BASE_URL: 'http://localhost:11434/v1/' })
    expect(upstreams).toMatchObject([{ baseUrl: 'http://localhost:11434/v1', apiKey: undefined }])
    expect(defaultModel).toBeUndefined()
  })

  it('count an empty value as none', () => {
    expect(parseConfig({ OPENAI_API_KEY: '', PORT: ' ' })).toEqual(parseConfig({}))
  })

  it.each([
    [{ PORT: 'web' }, 'PORT=web must be a whole number from 0 to 65535'],
    [{ PORT: '70000' }, 'PORT=70000 must be a whole number from 0 to 65535'],
    [{ PORT: '1e3' }, 'PORT=1e3 must be'],
    [{ DAEHWA_DURABILITY: 'off' }, 'DAEHWA_DURABILITY=off must be one of full, normal'],
    [{ DAEHWA_LOG_LEVEL: 'loud' }, 'DAEHWA_LOG_LEVEL=loud must be one of'],
    [{ DAEHWA_IDLE_TIMEOUT_MS: '0' }, 'DAEHWA_IDLE_TIMEOUT_MS=0 must be'],
    [{ DAEHWA_LEASE_MS: '999' }, 'DAEHWA_LEASE_MS=999 must be a whole number from 1000'],
    [{ DAEHWA_CONTEXT_WINDOW: '-1' }, 'DAEHWA_CONTEXT_WINDOW=-1 must be'],
    [{ OPENAI_BASE_URL: 'localhost:11434' }, 'OPENAI_BASE_URL must begin with http:// or https://'],
    [{ OPENAI_BASE_URL: 'http://localhost/v1/chat/completions/' }, 'Leave that out: it usually ends in /v1'],
    [{ OPENAI_BASE_URL: 'http://localhost/v1?a=b' }, 'OPENAI_BASE_URL must have no "?"'],
    [{ DAEHWA_PUBLIC_URL: 'example.com' }, 'as in https://chat.example.com'],
    [{ DAEHWA_APIKEY: 'x' }, 'DAEHWA_APIKEY is no setting. There are DAEHWA_API_KEY,'],
    [{ OPENAI_BASE_URL: 'https://user:secret@example.com' }, 'OPENAI_BASE_URL holds a user name'],
    [{ REDIS_URL: 'redis://localhost' }, 'Set DATABASE_URL too'],
    [{ REDIS_URL: 'localhost:6379' }, 'REDIS_URL must be an address as redis://host:6379'],
    [{ REDIS_URL: 'redis://' }, 'REDIS_URL must be an address'],
    [{ REDIS_URL: 'redis://localhost:6379/daehwa' }, 'REDIS_URL must be an address'],
    [{ REDIS_URL: 'redis://localhost?path=/tmp/x' }, 'REDIS_URL must be an address'],
    [{ REDIS_URL: 'redis://:p@ss/word@localhost' }, '"@" is %40'],
    [{ REDIS_URL: 'redis://:100%@localhost' }, '"%" is %25'],
    [{ DAEHWA_MIGRATE: 'no' }, 'DAEHWA_MIGRATE=no must be one of auto, off'],
    [{ DATABASE_URL: 'mysql://localhost/x' }, 'DATABASE_URL must begin with postgres:// or postgresql://'],
    [{ DATABASE_URL: 'postgres://a:12/3@localhost/x' }, 'DATABASE_URL is no address, as postgres://user'],
    [{ DATABASE_URL: 'postgres://a:12?3@localhost/x' }, '"?" is %3F'],
    [{ DATABASE_URL: 'postgres://a:12#3@localhost/x' }, '"#" is %23'],
    [{ DATABASE_URL: 'postgres://a:b/c@localhost/x' }, 'Percent-encode what is special in its password'],
  ])('refuse %j in one line', (env, message) => {
    expect(() => parseConfig(env)).toThrow(message)
    expect(() => parseConfig(env)).toThrow(/^[^\n]+$/)
  })

  it('leave alone what Kubernetes tells a pod of a service that is called daehwa', () => {
    const told = {
      DAEHWA_SERVICE_HOST: '10.0.0.1',
      DAEHWA_SERVICE_PORT: '80',
      DAEHWA_SERVICE_PORT_HTTP: '80',
      DAEHWA_PORT: 'tcp://10.0.0.1:80',
      DAEHWA_PORT_80_TCP: 'tcp://10.0.0.1:80',
      DAEHWA_PORT_80_TCP_ADDR: '10.0.0.1',
    }
    expect(parseConfig(told)).toEqual(parseConfig({}))
    expect(() => parseConfig({ DAEHWA_PORT: '80' })).toThrow('DAEHWA_PORT is no setting')
  })

  it('never repeat a key that is wrong', () => {
    expect(() => parseConfig({ OPENAI_API_KEY: 'sk-a b' })).toThrow(/^OPENAI_API_KEY holds a space/)
  })

  it.each([['127.0.0.1'], ['::1'], ['localhost'], ['127.1.2.3']])('need no key on %s', (host) => {
    expect(parseConfig({ HOST: host })).toMatchObject({ host, keyless: true })
    expect(parseConfig({ HOST: host, DAEHWA_API_KEY: 'k' }).keyless).toBe(false)
  })

  it.each([['0.0.0.0'], ['192.168.0.2'], ['::']])('need one on %s', (host) => {
    expect(parseConfig({ HOST: host }).keyless).toBe(false)
  })

  it.each([
    ['postgres://localhost'],
    ['postgresql://me:p%40ss@db.example.com:5432/daehwa?sslmode=verify-full'],
    ['postgres:///daehwa?host=/run/postgresql'],
  ])('take %s as it is', (address) => {
    expect(parseConfig({ DATABASE_URL: address }).databaseUrl).toBe(address)
  })

  it('listen anywhere with a key', () => {
    expect(parseConfig({ HOST: '0.0.0.0', DAEHWA_API_KEY: 'k' })).toMatchObject({
      host: '0.0.0.0',
      apiKey: 'k',
    })
  })
})
