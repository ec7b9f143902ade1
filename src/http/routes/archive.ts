import { clientOf, operator } from '../../conversation/access/caller.ts'
import { checkTenant } from '../../conversation/access/keys.ts'
import { type ArchiveLine, exportClient, importClient } from '../../conversation/archive.ts'
import { clientName } from '../../conversation/client-name.ts'
import type { ConversationKey } from '../../conversation/conversation.ts'
import { codeOf } from '../../conversation/errors.ts'
import type { Now } from '../../conversation/ports.ts'
import type { Store } from '../../conversation/store.ts'
import { checkText } from '../../conversation/text.ts'
import type { App } from '../app-type.ts'
import { archiveText } from '../archive-text.ts'
import { acceptArchives, takeBody } from '../plugins/archive-body.ts'
import { type ReadArchive, readArchive } from '../read-archive.ts'
import {
  archiveType,
  exportAllSchema,
  exportClientSchema,
  importClientSchema,
  importIntoSchema,
} from '../schemas/archive.ts'
import { sendStream } from '../send-stream.ts'
import { splitLines } from '../split-lines.ts'

interface ArchiveDeps {
  readonly store: Store
  readonly now: Now
}

/** Exports and imports of a caller's own clients. */
export function archiveRoutes(app: App, deps: ArchiveDeps): void {
  app.get('/clients/:name/export', { schema: exportClientSchema }, async ({ caller, params }, reply) => {
    const lines = await begun(exportClient(deps.store, clientOf(caller, params.name)))
    return sendStream(reply.type(archiveType), archiveText(lines))
  })

  app.register(async (scope: App) => {
    acceptArchives(scope)
    scope.post('/clients/:name/import', { schema: importClientSchema }, ({ caller, params, body }) =>
      takeIn(deps, body, () => clientOf(caller, params.name)),
    )
  })
}

/** The same for the operator, of all tenants. */
export function adminArchiveRoutes(app: App, deps: ArchiveDeps): void {
  const config = { operator: true }

  app.get('/admin/export', { schema: exportAllSchema, config }, async ({ query }, reply) => {
    if (query.tenant !== undefined) checkText(query.tenant)
    const client = query.client_name === undefined ? undefined : clientName(query.client_name)
    return sendStream(reply.type(archiveType), exportAll(deps.store, query.tenant, client))
  })

  app.register(async (scope: App) => {
    acceptArchives(scope)
    scope.post('/admin/import', { schema: importIntoSchema, config }, ({ query, body }) =>
      takeIn(deps, body, ({ tenant = operator.tenant, name }) => {
        const into = query.tenant ?? tenant
        checkTenant(into)
        return { tenant: into, client: clientName(name) }
      }),
    )
  })
}

async function* exportAll(
  store: Store,
  tenant: string | undefined,
  client: string | undefined,
): AsyncGenerator<string> {
  let clients = 0
  for await (const key of store.clientKeys(tenant, client)) {
    try {
      yield* archiveText(exportClient(store, key), key.tenant)
      clients++
    } catch (error) {
      if (codeOf(error) !== 'not_found') throw error // erased since its name was read, before its first line
    }
  }
  yield `${JSON.stringify({ clients })}\n`
}

async function takeIn(
  deps: ArchiveDeps,
  body: unknown,
  keyOf: (archive: ReadArchive) => ConversationKey,
): Promise<{ tenant: string; client_name: string; messages: number }> {
  return takeBody(body, async (pieces) => {
    const archive = await readArchive(splitLines(pieces))
    const key = keyOf(archive)
    const messages = await importClient(deps, key, archive, archive.turns)
    return { tenant: key.tenant, client_name: key.client, messages }
  })
}

/** Lines of which the first is there already: until then a failure has a status. */
async function begun(lines: AsyncGenerator<ArchiveLine>): Promise<AsyncIterable<ArchiveLine>> {
  const first = await lines.next()
  return (async function* () {
    if (first.done !== true) yield first.value
    yield* lines
  })()
}
