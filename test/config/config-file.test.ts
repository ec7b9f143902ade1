import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parseConfig } from '../../src/config/config.ts'
import { parseConfigFile } from '../../src/config/config-file.ts'
import { ConfigFileSchema } from '../../src/config/file-schema.ts'
import { generationSettings } from '../../src/conversation/settings.ts'

const root = resolve(import.meta.dirname, '../..')
const openai = { base_url: 'https://api.openai.com/v1/', api_key_env: 'OPENAI_API_KEY' }
const local = { base_url: 'http://localhost:11434/v1' }
const key = { OPENAI_API_KEY: 'sk-test' }

/** The configuration with this file beside the environment. */
const configOf = (file: unknown, env: Readonly<Record<string, string>> = {}) =>
  parseConfig(env, (path) => (path === 'daehwa.config.json' ? JSON.stringify(file) : undefined))

describe('daehwa.config.json', () => {
  it('names upstreams, aliases and models', () => {
    const azure = {
      base_url: 'https://x.openai.azure.com/openai/deployments/d',
      api_key_env: 'AZURE_KEY',
      api_key_header: 'API-Key',
      query: { 'api-version': '2024-10-21' },
      headers: { 'X-Title': 'chat' },
      max_tokens_field: 'max_tokens',
      timeouts: { idle_ms: 1_000 },
      models: { 'gpt-4.1': { window: 131_072, settings: ['stop'], prices: { input: 0.4, output: 1.6 } } },
    }
    const file = {
      $schema: './daehwa.config.schema.json',
      upstreams: { openai, azure, local },
      aliases: { fast: 'openai/gpt-4.1-mini', smart: ['openai/gpt-4.1', 'azure/gpt-4.1'] },
      default_model: 'smart',
      summary_model: 'fast',
    }
    const env = { ...key, AZURE_KEY: 'azure-key', DAEHWA_CONNECT_TIMEOUT_MS: '7' }
    const config = configOf(file, env)
    expect(config).toMatchObject({ defaultModel: 'smart', summaryModel: 'fast' })
    expect([...config.aliases]).toEqual([
      ['fast', ['openai/gpt-4.1-mini']],
      ['smart', ['openai/gpt-4.1', 'azure/gpt-4.1']],
    ])
    const timeouts = { connect: 7, firstToken: 60_000, idle: 60_000 }
    const plain = { apiKeyHeader: undefined, headers: {}, query: {}, maxTokensField: undefined, timeouts }
    expect(config.upstreams).toEqual([
      {
        ...{ ...plain, name: 'openai', prefix: 'openai/', baseUrl: 'https://api.openai.com/v1' },
        ...{ apiKey: 'sk-test', models: new Map() },
      },
      {
        ...{ name: 'azure', prefix: 'azure/', baseUrl: azure.base_url, apiKey: 'azure-key' },
        ...{ apiKeyHeader: 'api-key', headers: { 'x-title': 'chat' }, query: azure.query },
        ...{ maxTokensField: 'max_tokens', timeouts: { ...timeouts, idle: 1_000 } },
        models: new Map(Object.entries(azure.models)),
      },
      {
        ...{ ...plain, name: 'local', prefix: 'local/', baseUrl: 'http://localhost:11434/v1' },
        ...{ apiKey: undefined, models: new Map() },
      },
    ])
  })

  it('leaves everything to the environment that it does not say', () => {
    const env = { OPENAI_BASE_URL: 'http://localhost:8000/v1', DAEHWA_DEFAULT_MODEL: 'a' }
    const { upstreams, ...rest } = configOf({ aliases: { a: ['maker/model', 'other'] } }, env)
    expect(upstreams).toEqual(parseConfig(env).upstreams)
    expect(rest).toMatchObject({ defaultModel: 'a', aliases: new Map([['a', ['maker/model', 'other']]]) })
  })

  it('gives OpenAI a default model when it comes first', () => {
    expect(configOf({ upstreams: { openai, local } }, key).defaultModel).toBe('openai/gpt-4.1-mini')
    expect(configOf({ upstreams: { local, openai } }, key).defaultModel).toBeUndefined()
  })

  it('is read from where DAEHWA_CONFIG says, which must be there', () => {
    const env = { DAEHWA_CONFIG: '/etc/chat.json' }
    const asked: string[] = []
    const read = (path: string) => {
      asked.push(path)
      return `\uFEFF${JSON.stringify({ upstreams: { local } })}`
    }
    expect(parseConfig(env, read).upstreams).toMatchObject([{ name: 'local' }])
    expect(asked).toEqual(['/etc/chat.json'])
    expect(() => parseConfig(env, () => undefined)).toThrow('DAEHWA_CONFIG=/etc/chat.json is not there')
    expect(() => parseConfig(env, () => '[]')).toThrow('/etc/chat.json: the file must be an object')
  })

  const upstream = (more: object) => ({ upstreams: { a: { ...local, ...more } } })
  const model = (more: object) => upstream({ models: { 'x/y-1.0': more } })
  it.each([
    [{ upstream: {} }, 'upstream is no setting. There are $schema, upstreams, aliases,'],
    [{ upstreams: {} }, 'upstreams must not be empty'],
    [{ upstreams: { Azure: local } }, 'upstreams.Azure must be a name of 1 to 32 of the characters a-z'],
    [{ upstreams: { a: {} } }, 'upstreams.a has no base_url'],
    [upstream({ base_url: 'localhost' }), 'upstreams.a.base_url must begin with http:// or https://'],
    [upstream({ base_url: 5 }), 'upstreams.a.base_url must be a string'],
    [
      upstream({ base_url: 'http://x/v1?a=b' }),
      'upstreams.a.base_url must have no "?". What follows it goes',
    ],
    [upstream({ base_url: 'http://u:p@x/v1' }), 'a key goes into what api_key_env names'],
    [
      upstream({ base_url: 'http://x/v1/chat/completions' }),
      'upstreams.a.base_url ends in /chat/completions',
    ],
    [upstream({ api_key: 'sk-1' }), 'upstreams.a.api_key is no setting. There are base_url, api_key_env,'],
    [upstream({ api_key_env: 'sk-secret' }), 'upstreams.a.api_key_env must be the name of an environment'],
    [upstream({ api_key_header: 'api-key' }), 'upstreams.a.api_key_header is set, and no api_key_env'],
    [upstream({ api_key_header: 'a b' }), 'upstreams.a.api_key_header must be the name of a header'],
    [upstream({ headers: { Authorization: 'x' } }), 'upstreams.a.headers.Authorization would put a key'],
    [upstream({ headers: { 'api-key': 'x' } }), 'upstreams.a.headers.api-key would put a key'],
    [upstream({ headers: { 'X-API-Key': 'x' } }), 'upstreams.a.headers.X-API-Key would put a key'],
    [upstream({ headers: { 'Content-Type': 'x' } }), 'upstreams.a.headers.Content-Type is set by the server'],
    [upstream({ headers: { 'a b': 'x' } }), 'upstreams.a.headers["a b"] must be the name of a header'],
    [upstream({ headers: { 'x-title': '대화' } }), 'upstreams.a.headers.x-title must be plain ASCII'],
    [upstream({ query: { key: 'x' } }), 'upstreams.a.query.key would put a key into the file'],
    [upstream({ timeouts: { idle_ms: 0 } }), 'upstreams.a.timeouts.idle_ms must be at least 1'],
    [upstream({ timeouts: { idle_ms: 1.5 } }), 'upstreams.a.timeouts.idle_ms must be a whole number'],
    [
      upstream({ max_tokens_field: 'max' }),
      'max_tokens_field must be one of max_tokens, max_completion_tokens',
    ],
    [model({ window: 10 }), 'upstreams.a.models["x/y-1.0"].window must be at least 256'],
    [model({ settings: ['seed'] }), 'upstreams.a.models["x/y-1.0"].settings[0] must be one of temperature'],
    [model({ settings: ['stop', 'stop'] }), 'settings names the same twice'],
    [model({ prices: { input: 1 } }), 'upstreams.a.models["x/y-1.0"].prices has no output'],
    [{ aliases: { 'a/b': 'm' } }, 'aliases["a/b"] must be a name of 1 to 64 characters'],
    [{ aliases: { a: [] } }, 'aliases.a must be "upstream/model", or a list of such'],
    [{ aliases: { a: 5 } }, 'aliases.a must be "upstream/model", or a list of such'],
    [{ aliases: { a: ['m', 5] } }, 'aliases.a[1] must be a string'],
    [{ aliases: { a: 'm', b: ['n', 'a'] } }, "aliases.b[1] is 'a', which is an alias itself"],
    [
      { ...upstream({}), aliases: { a: ['a/m', 'b/m'] } },
      "aliases.a[1] is 'b/m', and there is no upstream 'b'. There are a",
    ],
    [{ ...upstream({}), default_model: 'b/m' }, "default_model is 'b/m', and there is no upstream 'b'"],
    [{ ...upstream({}), summary_model: '' }, 'summary_model must be the name of a model'],
  ])('%j is refused in one line', (file, message) => {
    const parse = () => parseConfigFile('daehwa.config.json', JSON.stringify(file))
    expect(parse).toThrow(message)
    expect(parse).toThrow(/^daehwa\.config\.json: [^\n]+$/)
    expect(parse).not.toThrow('sk-secret')
  })

  it('says where it is no JSON, and does not quote it', () => {
    const parse = () => parseConfigFile('daehwa.config.json', '{\n  "sk-secret": 1,\n}')
    expect(parse).toThrow('daehwa.config.json is no JSON at line 3, column 1. It must have no comments')
    expect(parse).not.toThrow('sk-secret')
    expect(() => parseConfigFile('f', '')).toThrow('f is no JSON. It')
  })

  it.each([
    [{ upstreams: { openai } }, {}, 'OPENAI_API_KEY is not set, and upstreams.openai.api_key_env in daehwa.'],
    [{ upstreams: { openai } }, { OPENAI_API_KEY: 'a b' }, 'OPENAI_API_KEY holds a space'],
    [{ upstreams: { local } }, { OPENAI_BASE_URL: 'http://x' }, 'OPENAI_BASE_URL is set, and daehwa.config'],
    [
      { default_model: 'a' },
      { DAEHWA_DEFAULT_MODEL: 'a' },
      'DAEHWA_DEFAULT_MODEL is set, and so is default_',
    ],
    [{ summary_model: 'a' }, { DAEHWA_SUMMARY_MODEL: 'a' }, 'DAEHWA_SUMMARY_MODEL is set, and so is summary'],
    [
      { upstreams: { local } },
      { DAEHWA_DEFAULT_MODEL: 'a/b' },
      "DAEHWA_DEFAULT_MODEL is 'a/b', and there is",
    ],
  ])('%j with %j is refused in one line', (file, env, message) => {
    expect(() => configOf(file, env)).toThrow(message)
    expect(() => configOf(file, env)).toThrow(/^[^\n]+$/)
  })

  it('may take its keys from variables of any name', () => {
    const file = { upstreams: { openai: { ...openai, api_key_env: 'DAEHWA_OPENAI_KEY' } } }
    expect(configOf(file, { DAEHWA_OPENAI_KEY: 'k' }).upstreams).toMatchObject([{ apiKey: 'k' }])
  })

  it('knows the settings that there are', () => {
    const settings = [...generationSettings]
    expect(() => parseConfigFile('f', JSON.stringify(model({ settings })))).not.toThrow()
    expect(() => parseConfigFile('f', JSON.stringify(model({ settings: ['?'] })))).toThrow(
      `must be one of ${settings.join(', ')}`,
    )
  })

  it.each([['README.md'], ['README.ko.md']])('is taken as %s prints it', (page) => {
    const text = readFileSync(resolve(root, page), 'utf8')
    const printed = /```json\n(\{\n {2}"\$schema"[\s\S]*?)```/.exec(text)?.[1] ?? ''
    expect(Object.keys(parseConfigFile('f', printed).upstreams ?? {})).toHaveLength(3)
  })

  it('has its schema in daehwa.config.schema.json, which "npm run schema" writes anew', async () => {
    const file = resolve(root, 'daehwa.config.schema.json')
    await expect(`${JSON.stringify(ConfigFileSchema, undefined, 2)}\n`).toMatchFileSnapshot(file)
  })
})
