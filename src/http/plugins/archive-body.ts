import { Readable } from 'node:stream'
import { DaehwaError, invalid } from '../../conversation/errors.ts'
import type { App } from '../app-type.ts'
import { archiveType } from '../schemas/archive.ts'

const wrongType = (): DaehwaError => DaehwaError.of('unsupported_media_type', { type: archiveType })

/** Takes bodies of JSON Lines as they come, and no others; they may be of any length. */
export function acceptArchives(app: App): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(archiveType, async ({ headers }: { headers: Headers }, body: Readable) => {
    if ((headers['content-encoding'] ?? 'identity') !== 'identity') throw wrongType()
    return body
  })
  app.addContentTypeParser('*', async () => {
    throw wrongType()
  })
}

type Headers = Readonly<Record<string, string | string[] | undefined>>

/**
 * Does something with the pieces of a body. Whoever sends one may not listen before all of it is sent: so it is read to its
 * end even when it is known earlier that it will be refused.
 */
export async function takeBody<T>(
  body: unknown,
  work: (pieces: AsyncIterable<Uint8Array>) => Promise<T>,
): Promise<T> {
  if (!(body instanceof Readable)) throw wrongType()
  const pieces: AsyncIterator<Uint8Array> = body[Symbol.asyncIterator]()
  const next = () =>
    pieces.next().catch(() => {
      throw invalid('The request broke off before it was whole.')
    })
  try {
    return await work({ [Symbol.asyncIterator]: () => ({ next }) })
  } catch (error) {
    while (!body.destroyed && (await pieces.next().catch(() => ({ done: true }))).done !== true);
    throw error
  }
}
