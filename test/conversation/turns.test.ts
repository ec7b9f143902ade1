import { setTimeout as wait } from 'node:timers/promises'
import { expect, it, onTestFinished } from 'vitest'
import { DaehwaError } from '../../src/conversation/errors.ts'
import { answered } from '../../src/conversation/follow-turn.ts'
import type { Ask } from '../../src/conversation/new-turn.ts'
import type { Hear, Upstream } from '../../src/conversation/ports.ts'
import type { Store } from '../../src/conversation/store.ts'
import { Turns } from '../../src/conversation/turns.ts'
import { openStorage } from '../../src/storage/open-storage.ts'
import { domainOver } from '../support/domain.ts'
import { historyOf } from '../support/history-of.ts'
import { temporaryDir } from '../support/start-server.ts'

const key = { tenant: 'default', client: '민수' }

type Answer = Upstream['answer']

const whole = { incomplete: undefined, usage: undefined, model: undefined }

async function say(text: string, hear: Hear) {
  hear({ type: 'delta', text })
  return whole
}

const hang: Answer = async (_, hear, signal) => {
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
  signal.throwIfAborted()
  return say('never', hear)
}

async function open(dir = temporaryDir()): Promise<Store> {
  const storage = await openStorage({ dir, durability: 'full', now: 1 })
  onTestFinished(() => storage[Symbol.asyncDispose]())
  return storage.store
}

/** Asks, and waits for the answer. */
async function ask(turns: Turns, asked: Ask): Promise<string> {
  const { turn } = await turns.begin(asked)
  return answered(await turn.ended).text
}

function turnsOver(store: Store, answer: Answer): Turns {
  const upstreams = new Map([['default', { answer, models: async () => undefined }]])
  return new Turns(domainOver({ store, upstreams }))
}

it('drops an answer when somebody else has cleared the history before it was kept', async () => {
  const store = await open()
  const turns = turnsOver(store, async (_, hear) => {
    hear({ type: 'delta', text: 'ghost' })
    await store.clear(key, 2)
    return whole
  })
  await expect(ask(turns, { key, input: 'hi' })).rejects.toMatchObject({ code: 'history_deleted' })
  expect(await historyOf(store, key)).toEqual([])
})

it('refuses a message whose settings were read before its client was erased', async () => {
  const store = await open()
  await store.updateClient(key, { instructions: 'gone' }, 1)
  const asked: unknown[] = []
  const turns = turnsOver(
    {
      ...store,
      async settings(of) {
        const settings = await store.settings(of)
        if (settings.client !== undefined) await store.forget(key, 2)
        return settings
      },
    },
    (request, hear) => {
      asked.push(...request.messages)
      return say('hello', hear)
    },
  )
  await expect(ask(turns, { key, input: 'hi' })).rejects.toMatchObject({ code: 'history_deleted' })
  expect((await store.settings(key)).client).toBeUndefined()
  expect(await ask(turns, { key, input: 'hi' })).toBe('hello')
  expect(asked).toHaveLength(1)
})

it('gives what runs its time to finish, and then ends it and all that waits', async () => {
  const store = await open()
  const turns = turnsOver(store, hang)
  const asked = [ask(turns, { key, input: 'running' }), ask(turns, { key, input: 'waiting' })]
  const settled = Promise.allSettled(asked)
  await wait(50)
  const begin = performance.now()
  await turns.drain(200)
  expect(performance.now() - begin).toBeGreaterThan(150)
  for (const result of await settled) {
    expect(result).toMatchObject({ status: 'rejected', reason: { code: 'server_shutting_down' } })
  }
  await expect(ask(turns, { key, input: 'new' })).rejects.toMatchObject({ code: 'server_shutting_down' })
  expect(await store.takeOver('next', 1)).toEqual([])
  expect(await historyOf(store, key)).toEqual([])
})

it('ends a turn as failed, and frees the conversation, when something fails that nobody foresaw', async () => {
  const store = await open()
  let calls = 0
  const turns = turnsOver(store, async (_, hear) => {
    if (calls++ === 0) throw new TypeError('a defect')
    return say('fine', hear)
  })
  await expect(ask(turns, { key, input: 'first' })).rejects.toMatchObject({ code: 'internal_error' })
  expect(await ask(turns, { key, input: 'second' })).toBe('fine')
  expect((await historyOf(store, key)).map(({ content }) => content)).toEqual(['second', 'fine'])
  expect(await store.takeOver('next', 1)).toEqual([])
})

it('does not run later what failed because it could not be claimed', async () => {
  const store = await open()
  let broken = true
  const failing: Store = {
    ...store,
    claim: () => Promise.reject(new Error('the disk')),
    endQueued: (...args) => (broken ? Promise.reject(new Error('still')) : store.endQueued(...args)),
  }
  const turns = turnsOver(failing, (_, hear) => say('fine', hear))
  const asked = await Promise.allSettled([
    ask(turns, { key, input: 'first' }),
    ask(turns, { key, input: 'second' }),
  ])
  expect(asked.map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
  broken = false
  await wait(1_100)
  await turns.drain(1_000)
  expect(await store.takeOver('next', 1)).toEqual([])
})

it('fails a turn that waited through a restart and no longer fits its model, and goes on with the next', async () => {
  const store = await open()
  const input = (content: string, tokens: number) => ({
    json: JSON.stringify({ role: 'user', content }),
    tokens,
    counted: true,
  })
  const waiting = { key, owner: 'gone', model: 'm', settings: {}, idempotency: undefined, at: 1 }
  await store.accept({ ...waiting, id: 'resp_1', input: input('too long', 1_000_000) }, undefined)
  await store.accept({ ...waiting, id: 'resp_2', input: input('fits', 10) }, undefined)
  const turns = turnsOver(store, (_, hear) => say('answer', hear))
  turns.resume(await store.takeOver('here', 1))
  await expect
    .poll(async () => (await historyOf(store, key)).map(({ content }) => content))
    .toEqual(['fits', 'answer'])
  await turns.drain(1_000)
  expect(await store.takeOver('next', 1)).toEqual([])
})

it('stops a turn that is cleared in the very moment in which it is claimed', async () => {
  const store = await open()
  const turns = turnsOver(store, hang)
  for (let delay = 0; delay < 12; delay++) {
    const asked = ask(turns, { key, input: 'hi' }).catch((error: { code: string }) => error.code)
    for (let tick = 0; tick < delay; tick++) await null
    await turns.clear(key)
    await wait(20)
    await turns.clear(key) // one that was accepted after the first clearing
    expect(await asked).toBe('history_deleted')
  }
})

const idempotency = { key: 'k', fingerprint: 'f' }

it('answers a key that comes again in the very moment in which its turn fails with a failure or an answer, never with nothing', async () => {
  const store = await open()
  const turns = turnsOver(store, async () => {
    await wait(1)
    throw DaehwaError.of('upstream_error', { detail: 'no' })
  })
  for (let round = 0; round < 40; round++) {
    const keyed = {
      key: { ...key, client: `client ${round}` },
      input: 'hi',
      idempotency: { key: `k${round}`, fingerprint: 'f' },
    }
    const asked = Array.from({ length: 12 }, async (_, n) => {
      for (let tick = 0; tick < n * 8; tick++) await null
      if (n % 3 === 0) await wait(n / 3)
      return ask(turns, keyed).catch((error: { code: string }) => error.code)
    })
    expect(new Set(await Promise.all(asked))).toEqual(new Set(['upstream_error']))
  }
  await turns.drain(1_000)
})

it('reads the end of a turn from memory until the storage has taken it, and then from there', async () => {
  const store = await open()
  let broken = true
  const fail = () => Promise.reject(DaehwaError.of('storage_full'))
  const failing: Store = {
    ...store,
    commit: (...args) => (broken ? fail() : store.commit(...args)),
    end: (...args) => (broken ? fail() : store.end(...args)),
  }
  const turns = turnsOver(failing, (_, hear) => say('fine', hear))
  const { turn } = await turns.begin({ key, input: 'hi', idempotency })
  expect(await turn.ended).toMatchObject({ status: 'failed', error: { code: 'storage_full' } })
  const again = await turns.begin({ key, input: 'hi', idempotency })
  expect([again.replayed, (await again.turn.ended).error?.code]).toEqual([true, 'storage_full'])
  broken = false
  expect(await ask(turns, { key, input: 'another' })).toBe('fine')
  await expect
    .poll(async () => (await store.turn(key.tenant, turn.record.id))?.status, { timeout: 3_000 })
    .toBe('failed')
  expect(await ask(turns, { key, input: 'hi', idempotency })).toBe('fine')
  await turns.drain(1_000)
})

it('interrupts nothing for a message that is refused, or that was taken before', async () => {
  const store = await open()
  const turns = turnsOver(store, hang)
  const urgent = { key, input: 'urgent', strategy: 'interrupt', idempotency } as const
  const first = await turns.begin(urgent)
  expect((await turns.begin(urgent)).replayed).toBe(true)
  await expect(turns.begin({ ...urgent, input: 'x'.repeat(9_000) })).rejects.toMatchObject({
    code: 'context_length_exceeded',
  })
  await expect(
    turns.begin({ ...urgent, idempotency: { key: 'k', fingerprint: 'other' } }),
  ).rejects.toMatchObject({ code: 'idempotency_key_reused' })
  await wait(20)
  expect(first.turn.record.status).toBe('in_progress')
  await turns.begin({ key, input: 'really', strategy: 'interrupt' })
  expect(await first.turn.ended).toMatchObject({ status: 'cancelled', error: { code: 'turn_cancelled' } })
  await turns.drain(10)
})

it('interrupts also one that has only just begun', async () => {
  const store = await open()
  const turns = turnsOver(store, hang)
  const [first] = await Promise.all([
    turns.begin({ key, input: 'first' }),
    turns.begin({ key, input: 'second', strategy: 'interrupt' }),
  ])
  expect(await first.turn.ended).toMatchObject({ status: 'cancelled' })
  await turns.drain(10)
})

it('lets a message that was taken before join, though the conversation takes no more', async () => {
  const store = await open()
  const turns = turnsOver(store, hang)
  const asked = { key, input: 'hi', strategy: 'reject', idempotency } as const
  await turns.begin(asked)
  expect((await turns.begin(asked)).replayed).toBe(true)
  await expect(turns.begin({ key, input: 'hi', strategy: 'reject' })).rejects.toMatchObject({
    code: 'conversation_busy',
  })
  await turns.drain(10)
})

it('stops what was cleared, also when the words could not be overwritten yet', async () => {
  const store = await open()
  const turns = turnsOver({ ...store, scrub: () => Promise.reject(new Error('the disk')) }, hang)
  const { turn } = await turns.begin({ key, input: 'hi' })
  expect(await turns.clear(key)).toBe(0)
  expect(await turn.ended).toMatchObject({ status: 'cancelled', error: { code: 'history_deleted' } })
})

it('keeps no lane and no timer for conversations that are not in use', async () => {
  const store = await open()
  const turns = turnsOver(store, (_, hear) => say('ok', hear))
  const names = Array.from({ length: 500 }, (_, n) => ({ tenant: 'default', client: `client ${n}` }))
  await Promise.all(names.map((name) => ask(turns, { key: name, input: 'hi' })))
  await turns.drain(10_000)
  expect(process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length).toBeLessThan(10)
})
