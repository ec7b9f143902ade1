import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'

/** What becomes of the next COMMIT: it arrives and its answer does not, or it never arrives. */
type CommitFault = 'answer lost' | 'lost'

export interface CommitProxy {
  readonly url: string
  /** Done once, and then forgotten. */
  fault: CommitFault | undefined
}

/** A TCP proxy in front of a Postgres, which cuts a connection about its COMMIT. */
export async function startCommitProxy(target: string): Promise<CommitProxy> {
  const proxy: CommitProxy = { url: '', fault: undefined }
  const sockets = new Set<Socket>()
  const server = createServer((caller) => {
    const database = connect(Number(new URL(target).port), '127.0.0.1')
    for (const socket of [caller, database]) {
      sockets.add(socket.on('error', () => {}).once('close', () => sockets.delete(socket)))
    }
    database.pipe(caller)
    caller.on('data', (bytes) => {
      const fault = bytes.includes('COMMIT\0') ? proxy.fault : undefined
      if (fault !== undefined) {
        proxy.fault = undefined
        database.unpipe(caller).resume()
        caller.destroy()
      }
      if (fault === 'lost') database.destroy()
      else database.write(bytes)
    })
    caller.once('close', () => database.end())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const url = new URL(target)
  url.port = String((server.address() as AddressInfo).port)
  return Object.assign(proxy, { url: url.href })
}
