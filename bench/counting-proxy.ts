import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** What went through since the start, over all connections. */
export interface Traffic {
  /** From an instance to Postgres. */
  bytesUp: number
  bytesDown: number
  /** Statements, BEGIN and COMMIT among them. */
  statements: number
  /** Transactions that write, each of which waits for the disk once. */
  writes: number
  /** How often an instance sent something after Postgres had: what is sent together travels once. */
  roundTrips: number
}

export interface CountingProxy extends AsyncDisposable {
  readonly url: string
  readonly traffic: Readonly<Traffic>
}

/**
 * A TCP proxy on loopback in front of a Postgres. It counts, and may hold back what Postgres answers for some milliseconds, as
 * if it were far away. It costs time itself.
 */
export async function startCountingProxy(target: string, delay = 0): Promise<CountingProxy> {
  const traffic: Traffic = { bytesUp: 0, bytesDown: 0, statements: 0, writes: 0, roundTrips: 0 }
  const sockets = new Set<Socket>()
  const server = createServer((caller) => {
    const database = connect(Number(new URL(target).port), '127.0.0.1')
    for (const socket of [caller, database]) {
      sockets.add(
        socket
          .setNoDelay()
          .on('error', () => {})
          .once('close', () => sockets.delete(socket)),
      )
    }
    const count = statementReader()
    let answered = true
    caller.on('data', (bytes) => {
      traffic.bytesUp += bytes.length
      for (const begin of count(bytes)) {
        traffic.statements++
        if (begin.includes(beginWrite)) traffic.writes++
      }
      if (answered) traffic.roundTrips++
      answered = false
    })
    database.on('data', (bytes) => {
      traffic.bytesDown += bytes.length
      answered = true
      if (delay === 0) caller.write(bytes)
      else setTimeout(() => caller.write(bytes), delay)
    })
    caller.pipe(database)
    caller.once('close', () => database.destroy())
    database.once('close', () => caller.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = new URL(target)
  url.port = `${(server.address() as AddressInfo).port}`
  return {
    url: url.href,
    traffic,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

const [query, execute] = [...'QE'].map((letter) => letter.charCodeAt(0))

/** What stands in a message that begins such a transaction: `begin` in src/storage/postgres.ts. */
const beginWrite = 'BEGIN ISOLATION LEVEL READ COMMITTED'

/**
 * Finds the statements in what a client sends, piece by piece. A message is a letter, its length with itself but without the
 * letter, and its content; only the first has no letter ("Frontend/Backend Protocol" in the manual of PostgreSQL).
 */
function statementReader(): (bytes: Buffer) => Buffer[] {
  let rest = Buffer.alloc(0)
  let letter = 0
  return (bytes) => {
    const found: Buffer[] = []
    rest = Buffer.concat([rest, bytes])
    while (rest.length >= letter + 4) {
      const length = letter + rest.readUInt32BE(letter)
      if (rest.length < length) break
      if (letter === 1 && (rest[0] === query || rest[0] === execute)) found.push(rest.subarray(0, length))
      rest = rest.subarray(length)
      letter = 1
    }
    return found
  }
}
