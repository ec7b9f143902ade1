import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { onTestFinished } from 'vitest'

/** What a proxy does to the bytes that go from the target back to the caller. */
interface NetworkFault {
  /** Hold each piece back for so long, in milliseconds. */
  latency?: number | undefined
  /** Close the connection in order after so many bytes. */
  cutAfter?: number | undefined
  /** Reset it after so many bytes. */
  resetAfter?: number | undefined
  /** Pass nothing on after so many bytes, and keep the connection. */
  halfOpenAfter?: number | undefined
  /** Pass on so many bytes a second. */
  bytesPerSecond?: number | undefined
}

export interface FaultProxy {
  readonly url: string
  /** May be changed at any time. */
  readonly fault: NetworkFault
}

/** A TCP proxy on loopback in front of `target`, an http address. */
export async function startFaultProxy(target: string): Promise<FaultProxy> {
  const fault: NetworkFault = {}
  const sockets = new Set<Socket>()
  const server = createServer((caller) => {
    const server = connect(Number(new URL(target).port), '127.0.0.1')
    for (const socket of [caller, server]) {
      sockets.add(socket.on('error', () => {}).once('close', () => sockets.delete(socket)))
    }
    caller.pipe(server)
    caller.once('close', () => server.destroy())
    passOn(server, caller, fault).catch(() => caller.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, fault }
}

async function passOn(from: Socket, to: Socket, fault: NetworkFault): Promise<void> {
  let passed = 0
  for await (const chunk of from as AsyncIterable<Buffer>) {
    if (fault.latency !== undefined) await wait(fault.latency)
    const limit = fault.cutAfter ?? fault.resetAfter ?? fault.halfOpenAfter ?? Number.POSITIVE_INFINITY
    const part = chunk.subarray(0, Math.max(0, limit - passed))
    if (fault.bytesPerSecond !== undefined) await wait((part.length / fault.bytesPerSecond) * 1000)
    if (part.length > 0 && !to.destroyed) to.write(part)
    passed += part.length
    if (passed < limit) continue
    if (fault.resetAfter !== undefined) to.resetAndDestroy()
    else if (fault.cutAfter !== undefined) to.end()
    if (fault.halfOpenAfter === undefined) return
  }
  to.end()
}
