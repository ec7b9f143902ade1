import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { expect, it } from 'vitest'
import { clientOf } from '../support/client.ts'
import { metricsOf } from '../support/metrics-page.ts'
import { startServer } from '../support/start-server.ts'
import { startTranscriptUpstream } from '../support/transcript-upstream.ts'

interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly datasource?: object
  readonly targets?: readonly { readonly expr: string; readonly refId: string; readonly datasource: object }[]
}

const file = resolve(import.meta.dirname, '../../deploy/grafana/daehwa.json')
const dashboard = JSON.parse(readFileSync(file, 'utf8')) as {
  readonly title: string
  readonly uid: string
  readonly schemaVersion: number
  readonly panels: readonly Panel[]
  readonly templating: { readonly list: readonly { readonly name: string; readonly type: string }[] }
}
const expressions = dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))
const metrics = [...new Set(expressions.join(' ').match(/\b(?:daehwa|process|nodejs)_[a-z0-9_]+/g))]

it('the dashboard is one that Grafana takes: ids that differ, panels that do not overlap, variables that are there', () => {
  expect([dashboard.title, dashboard.uid]).toEqual(['Daehwa', 'daehwa'])
  expect(dashboard.schemaVersion).toBeGreaterThan(30)
  const ids = dashboard.panels.map(({ id }) => id)
  expect(new Set(ids).size).toBe(ids.length)
  const taken = new Map<string, string>()
  for (const { title, gridPos } of dashboard.panels) {
    expect(gridPos.x + gridPos.w, title).toBeLessThanOrEqual(24)
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
        expect(taken.get(`${x} ${y}`), `${title} lies over another`).toBeUndefined()
        taken.set(`${x} ${y}`, title)
      }
    }
  }
  const used = new Set(readFileSync(file, 'utf8').match(/(?<=\$\{?)[a-z]\w*/g))
  expect([...used].toSorted()).toEqual(dashboard.templating.list.map(({ name }) => name).toSorted())
})

it('every panel asks the Prometheus that is chosen when it is looked at, whatever that is called', () => {
  const chosen = { type: 'prometheus', uid: `\${datasource}` }
  expect(dashboard.templating.list).toContainEqual(
    expect.objectContaining({ name: 'datasource', type: 'datasource', query: 'prometheus' }),
  )
  for (const { type, title, datasource, targets = [] } of dashboard.panels) {
    if (type === 'row') continue
    expect(datasource, title).toEqual(chosen)
    expect(targets.length, title).toBeGreaterThan(0)
    for (const target of targets) expect(target.datasource, title).toEqual(chosen)
    expect(new Set(targets.map(({ refId }) => refId)).size, title).toBe(targets.length)
    for (const { expr } of targets) expect(expr, title).toContain('job=~"$job",instance=~"$instance"')
  }
})

it('every metric that it asks for is on the page of a server that was used', async () => {
  const upstream = await startTranscriptUpstream()
  const { url } = await startServer({ env: { OPENAI_BASE_URL: upstream.baseUrl } })
  const client = clientOf(url)
  expect((await client.query('민수', 'hi')).status).toBe(200)
  upstream.faults.push({ status: 401 }, { status: 401 })
  expect((await client.query('민수', 'hi')).status).toBe(502)
  const { samples } = await metricsOf(url)
  const names = new Set([...samples.keys()].map((series) => series.replace(/\{.*/, '')))
  expect(metrics.length).toBeGreaterThan(15)
  expect(metrics.filter((name) => !names.has(name))).toEqual([])
  const ours = [...names]
    .filter((name) => name.startsWith('daehwa_'))
    .map((name) => name.replace(/_(bucket|sum|count)$/, ''))
  const shown = new Set(metrics.map((name) => name.replace(/_(bucket|sum|count)$/, '')))
  expect([...new Set(ours)].filter((name) => !shown.has(name))).toEqual([])
})

it('every label that it groups by or picks is one that the metric has', async () => {
  const upstream = await startTranscriptUpstream()
  const { url } = await startServer({ env: { OPENAI_BASE_URL: upstream.baseUrl } })
  upstream.faults.push({ status: 401 })
  await clientOf(url).query('민수', 'hi')
  await clientOf(url).query('민수', 'hi')
  const { samples } = await metricsOf(url)
  for (const expression of expressions) {
    const [name = ''] = /\b(?:daehwa|process|nodejs)_[a-z0-9_]+/.exec(expression) ?? []
    const series = [...samples.keys()].filter((key) => key === name || key.startsWith(`${name}{`))
    const by = /by \(([^)]+)\)/.exec(expression)?.[1]?.split(', ') ?? []
    const picked = [...expression.matchAll(/[{,]([a-z]+)="/g)].map(([, label = '']) => label)
    const given = new Set(['job', 'instance']) // by Prometheus itself
    for (const label of [...by, ...picked].filter((one) => !given.has(one)))
      expect(
        series.some((key) => key.includes(`${label}="`)),
        `${label} of ${name}`,
      ).toBe(true)
  }
})
