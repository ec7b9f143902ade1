import { Type } from 'typebox'
import { invalid } from '../../conversation/errors.ts'
import type { Store } from '../../conversation/store.ts'
import type { App } from '../app-type.ts'
import { errorResponses } from '../schemas/errors.ts'
import { sendStream } from '../send-stream.ts'

/** What is said of a database that Daehwa does not back up. */
export const backedUpByPostgres =
  'The data is in Postgres, which has its own tools: pg_dump --format=custom --file=FILE copies it while servers run, and pg_restore brings it back.'

const type = 'application/vnd.sqlite3'

const backupSchema = {
  operationId: 'backUp',
  tags: ['operations'],
  summary: 'A copy of the whole database, made while it is used',
  description:
    'It has all that was acknowledged before it was asked for. Over SQLite; Postgres has pg_dump. For the operator alone.',
  response: {
    200: { description: 'The database', content: { [type]: { schema: Type.String({ format: 'binary' }) } } },
    ...errorResponses(400, 403, 503, 507),
  },
}

export function backupRoute(app: App, { store }: { store: Pick<Store, 'backup'> }): void {
  const config = { operator: true }

  app.get('/admin/backup', { schema: backupSchema, config }, async (_request, reply) => {
    const copy = await store.backup()
    if (copy === undefined) throw invalid(backedUpByPostgres)
    reply.raw.once('close', () => void copy[Symbol.asyncDispose]())
    reply.type(type).headers({
      'content-length': copy.size,
      'content-disposition': 'attachment; filename="daehwa-backup.db"',
      'cache-control': 'no-store',
    })
    return sendStream(reply, copy.bytes)
  })
}
