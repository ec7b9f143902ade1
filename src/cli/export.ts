import { once } from 'node:events'
import { defineCommand } from 'citty'
import { AdminError, asOperator } from './admin.ts'

/** `daehwa export`: all that is kept of clients, as JSON Lines. */
export const exportClients = defineCommand({
  meta: {
    name: 'export',
    description: 'Write clients with their histories to standard output, as JSON Lines',
  },
  args: {
    tenant: { type: 'string', description: 'only those of this tenant' },
    client: { type: 'string', description: 'only those of this client_name' },
  },
  async run({ args: { tenant, client } }) {
    const query = new URLSearchParams({
      ...(tenant !== undefined && { tenant }),
      ...(client !== undefined && { client_name: client }),
    })
    const clients = await asOperator(async (_ask, download) =>
      write(await download(`/admin/export?${query}`)),
    )
    process.stderr.write(`${clients} ${clients === 1 ? 'client' : 'clients'}\n`)
  },
})

/** Answers how many clients the last line says that there are. @throws AdminError when it is missing */
async function write(bytes: AsyncIterable<Uint8Array>): Promise<number> {
  let end = ''
  for await (const piece of bytes) {
    if (!process.stdout.write(piece)) await once(process.stdout, 'drain')
    end = (end + Buffer.from(piece).toString('latin1')).slice(-64)
  }
  const clients = /^\{"clients":(\d+)\}\n$/m.exec(end)?.[1]
  if (clients === undefined) throw new AdminError('the export broke off, and is not whole. Export again')
  return Number(clients)
}
