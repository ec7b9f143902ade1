import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { type FaultProxy, startFaultProxy } from './fault-proxy.ts'

let proxy: FaultProxy

beforeEach(async () => {
  const server = createServer((_, reply) => void reply.end('x'.repeat(2_000)))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  proxy = await startFaultProxy(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
})

const get = async () => (await fetch(proxy.url, { signal: AbortSignal.timeout(800) })).text()

describe('the fault proxy', () => {
  it('passes everything on when nothing is asked of it', async () => {
    expect(await get()).toHaveLength(2_000)
  })

  it('holds back', async () => {
    proxy.fault.latency = 200
    const begin = performance.now()
    expect(await get()).toHaveLength(2_000)
    expect(performance.now() - begin).toBeGreaterThan(190)
  })

  it('throttles', async () => {
    proxy.fault.bytesPerSecond = 10_000
    const begin = performance.now()
    expect(await get()).toHaveLength(2_000)
    expect(performance.now() - begin).toBeGreaterThan(190)
  })

  it.each([
    ['cuts', { cutAfter: 1_000 }, /terminated|closed/],
    ['resets', { resetAfter: 1_000 }, /terminated|RESET/],
    ['goes half-open', { halfOpenAfter: 1_000 }, /timeout/],
  ])('%s', async (_, fault, message) => {
    Object.assign(proxy.fault, fault)
    await expect(get()).rejects.toThrow(message)
  })
})
