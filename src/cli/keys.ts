import { defineCommand } from 'citty'
import { AdminError, asOperator } from './admin.ts'

interface Key {
  readonly id: string
  readonly tenant: string
  readonly client_name: string | null
  readonly begins_with: string
  readonly created_at: string
  readonly expires_at: string | null
  readonly revoked_at: string | null
}

const say = (line: string) => process.stdout.write(`${line}\n`)

const create = defineCommand({
  meta: { name: 'create', description: 'Make a key; it is shown once' },
  args: {
    tenant: {
      type: 'string',
      required: true,
      description: 'whose it is: a name of small letters and digits',
    },
    client: { type: 'string', description: 'the only client_name that it may touch' },
    expires: { type: 'string', description: 'after 12h, 30d …, or a time: 2030-01-31T12:00:00Z' },
  },
  async run({ args: { tenant, client, expires } }) {
    const wish = {
      tenant,
      ...(client !== undefined && { client_name: client }),
      ...(expires !== undefined && { expires_at: timeOf(expires) }),
    }
    const made = (await asOperator((ask) => ask('POST', '/admin/keys', wish))) as Key & { key: string }
    process.stderr.write(
      `${describe(made)}\nThis is the key. It is shown this once; whoever has it may use it.\n`,
    )
    say(made.key)
  },
})

const list = defineCommand({
  meta: { name: 'list', description: 'List the keys, the newest first' },
  args: { tenant: { type: 'string', description: 'only those of this tenant' } },
  async run({ args: { tenant } }) {
    const query = tenant === undefined ? '' : `?${new URLSearchParams({ tenant })}`
    const { keys } = (await asOperator((ask) => ask('GET', `/admin/keys${query}`))) as { keys: Key[] }
    if (keys.length === 0) say('There are no keys.')
    for (const key of keys) say(describe(key))
  },
})

const revoke = defineCommand({
  meta: { name: 'revoke', description: 'Take a key back; what is open with it is closed within 5 seconds' },
  args: {
    id: { type: 'positional', required: true, description: 'the id of the key, as keys list shows it' },
  },
  async run({ args: { id } }) {
    if (!id.startsWith('key_'))
      throw new AdminError(`${id.slice(0, 11)}… is no id of a key. keys list shows them: key_…`)
    say(describe((await asOperator((ask) => ask('DELETE', `/admin/keys/${encodeURIComponent(id)}`))) as Key))
  },
})

/** `daehwa keys`: who may come in. */
export const keys = defineCommand({
  meta: { name: 'keys', description: 'Make, list and revoke the keys of tenants' },
  subCommands: { create, list, revoke },
})

function describe(key: Key): string {
  const until =
    key.revoked_at !== null
      ? `revoked ${key.revoked_at}`
      : key.expires_at !== null
        ? `until ${key.expires_at}`
        : ''
  const whose = key.client_name === null ? key.tenant : `${key.tenant}, client ${key.client_name}`
  return `${key.id}  ${key.begins_with}…  ${whose}  since ${key.created_at}  ${until}`.trimEnd()
}

const units = { h: 60 * 60 * 1000, d: 24 * 60 * 60 * 1000 } as const

function timeOf(text: string): string {
  const [, count, unit] = /^(\d{1,6})([hd])$/.exec(text) ?? []
  if (count === undefined) return text // the server says what is wrong with it
  return new Date(Date.now() + Number(count) * units[unit as keyof typeof units]).toISOString()
}
