import { clientOf } from '../../conversation/access/caller.ts'
import { dayOf, firstDayOfMonth, nameOfDay } from '../../conversation/access/limits.ts'
import { clientName } from '../../conversation/client-name.ts'
import { invalid } from '../../conversation/errors.ts'
import type { Models } from '../../conversation/models.ts'
import type { Now } from '../../conversation/ports.ts'
import { checkText } from '../../conversation/text.ts'
import { type Group, groups, type UsageRow, type UsageStore } from '../../conversation/usage.ts'
import type { App } from '../app-type.ts'
import { adminUsageSchema, usageSchema } from '../schemas/usage.ts'

const mostRows = 10_000

interface UsageDeps {
  readonly store: UsageStore
  readonly models: Pick<Models, 'prices'>
  readonly now: Now
}

interface Query {
  readonly from?: string
  readonly to?: string
  readonly by?: string
}

/** What was used: by a tenant for itself, and by all for the operator. */
export function usageRoutes(app: App, { store, models, now }: UsageDeps): void {
  const read = async (query: Query, tenant: string | undefined, client: string | undefined) => {
    const at = now()
    const from = query.from === undefined ? firstDayOfMonth(at) : dayNamed('from', query.from)
    const to = query.to === undefined ? dayOf(at) : dayNamed('to', query.to)
    if (from > to) throw invalid("'from' must be no later than 'to'.")
    const rows = await store.usage({ tenant, client, from, to, by: groupsOf(query.by), limit: mostRows + 1 })
    if (rows.length > mostRows)
      throw invalid(
        `That would be over ${mostRows} rows. Ask for fewer days, or for less in 'by', or for one client.`,
      )
    const usage = rows.map((row) => toJson(row, models))
    return { from: nameOfDay(from), to: nameOfDay(to), usage }
  }

  app.get('/usage', { schema: usageSchema }, ({ caller, query }) => {
    const { tenant, client } = query.client_name === undefined ? caller : clientOf(caller, query.client_name)
    return read(query, tenant, client)
  })

  const config = { operator: true, whileStopping: true }
  app.get('/admin/usage', { schema: adminUsageSchema, config }, ({ query }) => {
    if (query.tenant !== undefined) checkText(query.tenant)
    const client = query.client_name === undefined ? undefined : clientName(query.client_name)
    return read(query, query.tenant, client)
  })
}

function toJson({ day, ...row }: UsageRow, models: Pick<Models, 'prices'>) {
  const prices = models.prices(row.model)
  const cost = prices && (row.input_tokens * prices.input + row.output_tokens * prices.output) / 1_000_000
  return { ...(day !== undefined && { day: nameOfDay(day) }), ...row, ...(cost !== undefined && { cost }) }
}

function dayNamed(name: string, text: string): number {
  const at = /^\d{4}-\d\d-\d\d$/.test(text) ? Date.parse(`${text}T00:00:00Z`) : Number.NaN
  if (Number.isFinite(at) && nameOfDay(dayOf(at)) === text) return dayOf(at)
  throw invalid(`'${name}' must be a day: 2026-01-31`)
}

function groupsOf(by = ''): Group[] {
  const named = by.split(',').filter((name) => name !== '')
  const unknown = named.find((name) => !(groups as readonly string[]).includes(name))
  if (unknown === undefined) return named as Group[]
  throw invalid(`'by' must be some of ${groups.join(', ')}, with commas between.`)
}
