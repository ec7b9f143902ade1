import { describe, expect, it } from 'vitest'
import { DaehwaError } from '../../src/conversation/errors.ts'
import type { Catalog } from '../../src/conversation/model-catalog.ts'
import { Models } from '../../src/conversation/models.ts'
import type { ModelInfo, Upstream } from '../../src/conversation/ports.ts'
import { oneUpstream } from '../support/catalog.ts'

const prices = { input: 0.4, cached_input: 0.1, output: 1.6 }

const two: Catalog = {
  upstreams: [
    { name: 'a', prefix: 'a/', models: new Map() },
    {
      ...{ name: 'b', prefix: 'b/' },
      models: new Map([
        ['maker/m', { window: 131_072, max_output_tokens: 8_192, settings: ['stop'], prices }],
        ['unlisted', {}],
      ]),
    },
  ],
  aliases: new Map([
    ['fast', ['a/gpt-4.1-mini']],
    ['smart', ['a/gpt-4.1', 'b/maker/m']],
  ]),
  otherWindow: 8_192,
}

const info = (id: string): ModelInfo => ({
  ...{ id, object: 'model', created: 1, owned_by: 'o', permission: [], root: id },
})

type Listed = readonly string[] | undefined | Error

/** The models over upstreams with these lists, which a test may change; it counts how often each is asked. */
function modelsOver(lists: Record<string, Listed>, catalog = two, defaultModel?: string) {
  const asked: string[] = []
  const warned: object[] = []
  let time = 0
  const upstreamOf = (name: string): Upstream => ({
    answer: () => Promise.reject(new Error('nobody is asked')),
    async models() {
      asked.push(name)
      const list = lists[name]
      if (list instanceof Error) throw list
      return list?.map(info)
    },
  })
  const log = { info() {}, warn: (fields: object) => void warned.push(fields), error() {} }
  const upstreams = new Map(catalog.upstreams.map(({ name }) => [name, upstreamOf(name)]))
  const models = new Models({ upstreams, catalog, defaultModel, clock: () => time, log })
  const pass = (ms: number) => {
    time += ms
  }
  const ids = async () => (await models.list()).map(({ id }) => id)
  return { models, asked, warned, lists, pass, ids }
}

const down = () => DaehwaError.of('upstream_unavailable', { detail: 'ECONNREFUSED' })

describe('who is asked', () => {
  const { models } = modelsOver({})
  const names = (...asked: Parameters<typeof models.targets>) =>
    models.targets(...asked).map(({ upstream, model, name }) => [upstream, model, name])

  it.each([
    ['a/gpt-4.1', [['a', 'gpt-4.1', 'a/gpt-4.1']]],
    ['b/maker/m', [['b', 'maker/m', 'b/maker/m']]],
    ['gpt-4.1', [['a', 'gpt-4.1', 'a/gpt-4.1']]],
    ['maker/m', [['a', 'maker/m', 'a/maker/m']]],
    ['b/', [['a', 'b/', 'a/b/']]],
    ['fast', [['a', 'gpt-4.1-mini', 'a/gpt-4.1-mini']]],
    [
      'smart',
      [
        ['a', 'gpt-4.1', 'a/gpt-4.1'],
        ['b', 'maker/m', 'b/maker/m'],
      ],
    ],
  ])('for %s is %j', (name, targets) => {
    expect(names(name)).toEqual(targets)
  })

  it('is the chain, then those that are to fall back on, and nobody twice', () => {
    expect(names('b/x', ['smart', 'gpt-4.1', 'fast', 'b/x']).map(([, , name]) => name)).toEqual([
      'b/x',
      'a/gpt-4.1',
      'b/maker/m',
      'a/gpt-4.1-mini',
    ])
  })

  it('comes with what is known and configured of the model', () => {
    expect(models.targets('smart')).toMatchObject([
      { limits: { window: 1_047_576, answer: 32_768 }, settings: undefined },
      { limits: { window: 131_072, answer: 8_192 }, settings: ['stop'] },
    ])
    expect(models.targets('b/unlisted')[0].limits).toEqual({ window: 8_192, answer: 2_048 })
  })

  it('has its own name where the one upstream has none', () => {
    const [target, ...others] = modelsOver({}, oneUpstream).models.targets('default/openai/gpt-4.1')
    expect(others).toEqual([])
    expect(target).toMatchObject({ upstream: 'default', model: 'default/openai/gpt-4.1' })
    expect(target.name).toBe('default/openai/gpt-4.1')
  })
})

describe('a name whose first part is no upstream', () => {
  it('belongs to the first one if that has it, and otherwise nobody', async () => {
    const { models, lists, asked } = modelsOver({ a: ['maker/m'] })
    const check = (name: string) => models.targets(name)[0].check?.()
    for (let n = 0; n < 2; n++) await check('maker/m')
    expect(asked).toEqual(['a'])
    await expect(check('gone/m')).rejects.toMatchObject({ code: 'model_not_found' })
    await expect(models.targets('x', ['gone/m'])[1]?.check?.()).rejects.toMatchObject({
      code: 'model_not_found',
    })
    const withoutList = modelsOver({ a: undefined }).models
    for (const late of [withoutList.check('gone/m'), withoutList.targets('gone/m')[0].check?.()]) {
      await expect(late).rejects.toMatchObject({ code: 'model_not_found' })
    }
    lists['a'] = down()
    for (const name of ['maker/m', 'a/gone/m', 'b/m', 'm', 'fast']) await check(name)
  })

  it('is taken as it stands where the one upstream has no name', () => {
    expect(modelsOver({}, oneUpstream).models.targets('openai/gpt-4.1')[0].check).toBeUndefined()
  })
})

describe('the list', () => {
  it('is that of all upstreams, with what is configured, and the aliases', async () => {
    const { models } = modelsOver({ a: ['x', 'gpt-4.1'], b: ['maker/m'] })
    const alias = (id: string, root: string) => ({ ...info(id), created: 0, owned_by: 'daehwa', root })
    expect(await models.list()).toEqual([
      { ...info('x'), id: 'a/x' },
      { ...info('gpt-4.1'), id: 'a/gpt-4.1' },
      {
        ...{ ...info('maker/m'), id: 'b/maker/m' },
        ...{ context_window: 131_072, max_output_tokens: 8_192, prices },
      },
      { ...info('unlisted'), id: 'b/unlisted', created: 0, owned_by: 'b' },
      alias('fast', 'a/gpt-4.1-mini'),
      alias('smart', 'a/gpt-4.1'),
    ])
  })

  it('is as its upstream gives it where there is but one', async () => {
    expect(await modelsOver({ default: ['x'] }, oneUpstream).models.list()).toEqual([info('x')])
    await expect(modelsOver({ default: down() }, oneUpstream).models.list()).rejects.toThrow('reached')
  })

  it('lacks an upstream that fails, and the log says which', async () => {
    const { ids, warned } = modelsOver({ a: down(), b: undefined })
    expect(await ids()).toEqual(['b/maker/m', 'b/unlisted', 'fast', 'smart'])
    expect(warned).toEqual([{ upstream: 'a', code: 'upstream_unavailable' }])
  })

  it('fails with the first error when all fail', async () => {
    const auth = DaehwaError.of('upstream_auth')
    await expect(modelsOver({ a: auth, b: down() }).models.list()).rejects.toBe(auth)
  })

  it('of each upstream is remembered for a minute, and fetched once for all who wait', async () => {
    const { models, asked, lists, pass, ids } = modelsOver({ a: ['x'], b: down() })
    await Promise.all([models.list(), models.list()])
    expect(asked).toEqual(['a', 'b'])
    lists['b'] = ['y']
    pass(59_999)
    expect(await ids()).toContain('b/y')
    expect(asked).toEqual(['a', 'b', 'b'])
    pass(1)
    await models.list()
    expect(asked).toEqual(['a', 'b', 'b', 'a'])
  })
})

describe('the default', () => {
  it('is what is configured, or the first of the list from then on', async () => {
    expect(await modelsOver({}, two, 'smart').models.default()).toBe('smart')
    const { models, lists, pass } = modelsOver({ a: ['x'], b: ['y'] })
    expect(await models.default()).toBe('a/x')
    lists['a'] = ['z']
    pass(60_000)
    expect(await models.default()).toBe('a/x')
    await expect(modelsOver({ default: [] }, oneUpstream).models.default()).rejects.toMatchObject({
      code: 'no_default_model',
    })
  })

  it('is of another upstream only for as long as the first one fails', async () => {
    const { models, lists } = modelsOver({ a: down(), b: ['y'] })
    expect(await models.default()).toBe('b/y')
    lists['a'] = ['x']
    expect(await models.default()).toBe('a/x')
  })
})

describe('a name', () => {
  it.each([['fast'], ['b/maker/m'], ['b/unlisted']])(
    'that is configured, as %s, is taken unasked',
    async (name) => {
      const { models, asked } = modelsOver({ a: down(), b: down() })
      await models.check(name)
      expect(asked).toEqual([])
    },
  )

  it('is looked for in the list of its own upstream', async () => {
    const { models, asked } = modelsOver({ a: ['x'], b: down() })
    await models.check('a/x')
    await models.check('x')
    expect(asked).toEqual(['a'])
    await expect(models.check('b/y')).rejects.toMatchObject({ code: 'upstream_unavailable' })
    await expect(models.check('c/x')).rejects.toMatchObject({ code: 'model_not_found' })
    await expect(models.check('')).rejects.toMatchObject({ code: 'invalid_request' })
  })

  it('that is new is found within seconds', async () => {
    const { models, lists, pass } = modelsOver({ a: ['x'] })
    await models.check('a/x')
    lists['a'] = ['x', 'y']
    await expect(models.check('a/y')).rejects.toMatchObject({ code: 'model_not_found' })
    pass(5_000)
    await models.check('a/y')
  })

  it('may be any where its upstream has no list, and the log says so', async () => {
    const { models, warned } = modelsOver({ a: undefined })
    await models.check('a/anything')
    expect(warned).toEqual([{ model: 'a/anything' }])
  })
})
