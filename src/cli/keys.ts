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
  readonly limits: Readonly<Record<string, number>>
}

const say = (line: string) => process.stdout.write(`${line}\n`)

const limitArgs = {
  'requests-per-minute': { type: 'string', description: 'requests of any kind' },
  'turns-at-once': { type: 'string', description: 'messages that are answered or wait' },
  'tokens-per-day': { type: 'string', description: 'tokens sent and answered, in a day of UTC' },
  'tokens-per-month': { type: 'string', description: 'the same in a month of UTC' },
  'client-tokens-per-day': { type: 'string', description: 'the same in a day, for each of its clients' },
} as const

/** The limits among the arguments; `off` takes one away. */
function limitsOf(args: Readonly<Record<string, unknown>>): Record<string, number | null> {
  const limits: Record<string, number | null> = {}
  for (const name of Object.keys(limitArgs)) {
    const value = args[name]
    if (value === undefined) continue
    const isNumber = typeof value === 'string' && /^[1-9]\d{0,14}$/.test(value)
    if (!isNumber && value !== 'off') throw new AdminError(`--${name} must be a whole number from 1, or off`)
    limits[name.replaceAll('-', '_')] = isNumber ? Number(value) : null
  }
  return limits
}

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
    ...limitArgs,
  },
  async run({ args }) {
    const { tenant, client, expires } = args
    const wish = {
      tenant,
      ...(client !== undefined && { client_name: client }),
      ...(expires !== undefined && { expires_at: timeOf(expires) }),
      ...limitsOf(args),
    }
    const made = (await asOperator((ask) => ask('POST', '/admin/keys', wish))) as Key & { key: string }
    process.stderr.write(
      `${describe(made)}\nThis is the key. It is shown this once; whoever has it may use it.\n`,
    )
    say(made.key)
  },
})

const idArg = {
  type: 'positional',
  required: true,
  description: 'the id of the key, as keys list shows it',
} as const

function checkId(id: string): void {
  if (!id.startsWith('key_'))
    throw new AdminError(`${id.slice(0, 11)}… is no id of a key. keys list shows them: key_…`)
}

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

const limit = defineCommand({
  meta: { name: 'limit', description: 'Change what a key may use; off takes a limit away' },
  args: { id: idArg, ...limitArgs },
  async run({ args }) {
    checkId(args.id)
    const path = `/admin/keys/${encodeURIComponent(args.id)}`
    say(describe((await asOperator((ask) => ask('PATCH', path, limitsOf(args)))) as Key))
  },
})

const revoke = defineCommand({
  meta: { name: 'revoke', description: 'Take a key back; what is open with it is closed within 5 seconds' },
  args: { id: idArg },
  async run({ args: { id } }) {
    checkId(id)
    say(describe((await asOperator((ask) => ask('DELETE', `/admin/keys/${encodeURIComponent(id)}`))) as Key))
  },
})

/** `daehwa keys`: who may come in. */
export const keys = defineCommand({
  meta: { name: 'keys', description: 'Make, list, limit and revoke the keys of tenants' },
  subCommands: { create, list, limit, revoke },
})

function describe(key: Key): string {
  const until =
    key.revoked_at !== null
      ? `revoked ${key.revoked_at}`
      : key.expires_at !== null
        ? `until ${key.expires_at}`
        : ''
  const whose = key.client_name === null ? key.tenant : `${key.tenant}, client ${key.client_name}`
  const limits = Object.entries(key.limits).map(([name, limit]) => `${name.replaceAll('_', ' ')}: ${limit}`)
  const parts = [key.id, `${key.begins_with}…`, whose, `since ${key.created_at}`, until, limits.join(', ')]
  return parts.filter((part) => part !== '').join('  ')
}

const units = { h: 60 * 60 * 1000, d: 24 * 60 * 60 * 1000 } as const

function timeOf(text: string): string {
  const [, count, unit] = /^(\d{1,6})([hd])$/.exec(text) ?? []
  if (count === undefined && !/^\d{4}-\d\d-\d\dT/.test(text))
    throw new AdminError(
      '--expires must be so many hours or days (12h, 90d), or a time (2030-01-31T12:00:00Z)',
    )
  if (count === undefined) return text // the server says what is wrong with it
  return new Date(Date.now() + Number(count) * units[unit as keyof typeof units]).toISOString()
}
