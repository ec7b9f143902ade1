import { DaehwaError } from '../conversation/errors.ts'

/** No line that is exported comes near it: a text has 8 MiB at the most. */
const longest = 64 * 1024 * 1024
const lineBreak = 10

/** The lines of a text that comes in pieces, without those that are empty. @throws DaehwaError `payload_too_large` */
export async function* splitLines(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let held: Uint8Array[] = []
  let size = 0
  for await (const piece of pieces) {
    let from = 0
    for (let to = piece.indexOf(lineBreak); to !== -1; to = piece.indexOf(lineBreak, from)) {
      const line = trimmed([...held, piece.subarray(from, to)])
      ;[held, size, from] = [[], 0, to + 1]
      if (line.length > 0) yield line
    }
    held.push(piece.subarray(from))
    size += piece.length - from
    if (size > longest) throw DaehwaError.of('payload_too_large', { limit: longest })
  }
  const last = trimmed(held)
  if (last.length > 0) yield last
}

/** Without the half of a line break that some systems add. */
function trimmed(pieces: readonly Uint8Array[]): Uint8Array {
  const line = Buffer.concat(pieces)
  return line.at(-1) === 13 ? line.subarray(0, -1) : line
}
