import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import packageJson from '../../package.json' with { type: 'json' }
import { parseConfig } from '../../src/config/config.ts'
import { ConfigError, type Env } from '../../src/config/values.ts'
import { instructions } from '../support/build-image.ts'
import { faultsOf } from '../support/check-manifest.ts'
import { secondsToEnd } from '../support/grace.ts'
import { startServer } from '../support/start-server.ts'

const root = resolve(import.meta.dirname, '../..')
const folder = join(root, 'deploy/kubernetes')
const files = readdirSync(folder).filter((file) => file !== 'secret.yaml') // what somebody has filled in
const read = (path: string) => readFileSync(join(root, 'deploy', path), 'utf8')

// biome-ignore lint/suspicious/noExplicitAny: a test looks into manifests of every kind, and asserts what it finds
type Manifest = any

const manifest = (path: string): Manifest => parse(read(path))
const deployment = manifest('kubernetes/deployment.yaml')
const pod = deployment.spec.template.spec
const [container] = pod.containers
const autoscaler = manifest('kubernetes/horizontal-pod-autoscaler.yaml')
const monitor = manifest('prometheus/pod-monitor.yaml')
const example = manifest('kubernetes/secret.example.yaml')
const key = 'operator-key-0123456789'

describe('the manifests', () => {
  const all = [...files.filter((file) => file !== 'kustomization.yaml').map((file) => `kubernetes/${file}`)]

  it.each([...all, 'prometheus/pod-monitor.yaml'])(
    '%s is what Kubernetes takes, to the last field',
    (path) => {
      const documents = parseAllDocuments(read(path))
      expect(documents).toHaveLength(1)
      for (const document of documents) {
        expect(document.errors).toEqual([])
        expect(faultsOf(document.toJS() as object)).toEqual([])
      }
    },
  )

  it.each<[string, string, (broken: Manifest) => unknown, RegExp]>([
    [
      'a field nobody knows',
      'kubernetes/deployment.yaml',
      (d) => (d.spec.template.spec.containers[0].livenesProbe = {}),
      /^\/spec\/template\/spec\/containers\/0\/livenesProbe is no field$/,
    ],
    ['another at the top', 'kubernetes/service.yaml', (d) => (d.spce = {}), /^\/spce is no field$/],
    [
      'a wrong type',
      'kubernetes/horizontal-pod-autoscaler.yaml',
      (d) => (d.spec.maxReplicas = 'six'),
      /maxReplicas must be integer/,
    ],
    [
      'a missing field',
      'kubernetes/deployment.yaml',
      (d) => delete d.spec.selector,
      /must have required property selector/,
    ],
    [
      'a number for a text',
      'kubernetes/deployment.yaml',
      (d) => (d.spec.template.spec.containers[0].env[1].value = 10000),
      /value must be string/,
    ],
    ['an unknown kind', 'kubernetes/service.yaml', (d) => (d.kind = 'Servise'), /no schema/],
    [
      'a field unknown to the operator',
      'prometheus/pod-monitor.yaml',
      (d) => (d.spec.podMetricsEndpoints[0].authorisation = {}),
      /authorisation is no field/,
    ],
  ])('the checker refuses %s', (_, path, plant, words) => {
    const broken = manifest(path)
    plant(broken)
    expect(faultsOf(broken).join('\n')).toMatch(words)
  })

  it('are all listed for kubectl apply -k, but for the secret, which is filled in elsewhere', () => {
    const resources = files.filter((file) => !['kustomization.yaml', 'secret.example.yaml'].includes(file))
    expect(manifest('kubernetes/kustomization.yaml')).toEqual({
      apiVersion: 'kustomize.config.k8s.io/v1beta1',
      kind: 'Kustomization',
      resources: resources.toSorted(),
      images: [{ name: container.image, newTag: packageJson.version }],
    })
  })

  it('name each other as they are named', () => {
    const { labels } = deployment.spec.template.metadata
    const service = manifest('kubernetes/service.yaml')
    const budget = manifest('kubernetes/pod-disruption-budget.yaml')
    const spreads = pod.topologySpreadConstraints.map((spread: Manifest) => spread.labelSelector)
    for (const selector of [
      deployment.spec.selector,
      budget.spec.selector,
      monitor.spec.selector,
      ...spreads,
    ]) {
      expect(selector.matchLabels).toEqual({ 'app.kubernetes.io/name': 'daehwa' })
      expect(labels).toMatchObject(selector.matchLabels)
    }
    expect(labels).toMatchObject(service.spec.selector)
    const { apiVersion, kind, metadata } = deployment
    expect(autoscaler.spec.scaleTargetRef).toEqual({ apiVersion, kind, name: metadata.name })
    const [port] = container.ports
    const probes = [container.startupProbe, container.livenessProbe, container.readinessProbe]
    for (const probe of probes) expect(probe.httpGet.port).toBe(port.name)
    expect(service.spec.ports[0].targetPort).toBe(port.name)
    expect(monitor.spec.podMetricsEndpoints[0].port).toBe(port.name)
    expect(monitor.spec.podMetricsEndpoints[0].authorization.credentials.name).toBe(example.metadata.name)
  })
})

describe('the settings', () => {
  /** What a pod's process finds in its environment, given this secret. */
  function environment(secret: Env): Env {
    const values = container.env.map(({ name, value, valueFrom }: Manifest) => {
      if (valueFrom !== undefined) expect(valueFrom.secretKeyRef.name).toBe(example.metadata.name)
      return [name, value ?? secret[valueFrom.secretKeyRef.key]]
    })
    return Object.fromEntries(values)
  }

  const filled = {
    DATABASE_URL: 'postgres://daehwa:secret@db.example.com:5432/daehwa',
    OPENAI_API_KEY: 'sk-0123456789',
    DAEHWA_API_KEY: key,
  }

  it('are settings of this program, and start it as the manifests expect', () => {
    const asked = new Set<string>()
    const env = environment(filled)
    const config = parseConfig(new Proxy(env, { get: (all, name: string) => all[asked.add(name) && name] }))
    expect([...asked]).toEqual(expect.arrayContaining(Object.keys(env)))
    expect(config).toMatchObject({ host: '0.0.0.0', apiKey: key, databaseUrl: filled.DATABASE_URL })
    expect(config.port).toBe(container.ports[0].containerPort)
    const redis = 'rediss://daehwa:secret@redis.example.com:6379'
    expect(parseConfig(environment({ ...filled, REDIS_URL: redis })).redisUrl).toBe(redis)
    expect(() => parseConfig({ ...env, DAEHWA_LOGLEVEL: 'info' })).toThrow(/DAEHWA_LOGLEVEL is no setting/)
  })

  it('come from the secret where they are secret, and are refused until they are filled in', () => {
    const secret = Object.keys(example.stringData)
    for (const { name, value, valueFrom } of container.env as Manifest[]) {
      expect(/KEY|URL$/.test(name), name).toBe(value === undefined)
      if (valueFrom === undefined) continue
      expect(secret.includes(valueFrom.secretKeyRef.key), name).toBe(valueFrom.secretKeyRef.optional !== true)
    }
    for (const name of secret) {
      const env = environment({ ...filled, [name]: example.stringData[name] })
      expect(() => parseConfig(env), name).toThrow(ConfigError)
    }
  })
})

describe('the promises to the cluster', () => {
  it('are kept by a real server: its probes answer without the key, and its metrics with it', async () => {
    const { url } = await startServer({ env: { DAEHWA_API_KEY: key } })
    for (const { httpGet } of [container.startupProbe, container.livenessProbe, container.readinessProbe])
      expect((await fetch(url + httpGet.path)).status).toBe(200)
    const [{ path, authorization }] = monitor.spec.podMetricsEndpoints
    expect((await fetch(url + path)).status).toBe(401)
    expect(authorization.credentials.key).toBe('DAEHWA_API_KEY')
    const scraped = await fetch(url + path, { headers: { authorization: `${authorization.type} ${key}` } })
    const [{ pods }] = autoscaler.spec.metrics
    expect(await scraped.text()).toMatch(new RegExp(`^${pods.metric.name} 0$`, 'm'))
    const [rule] = manifest('prometheus/adapter-values.yaml').rules.custom
    expect(rule.seriesQuery).toBe(`${pods.metric.name}{namespace!="",pod!=""}`)
    expect(rule.name).toEqual({ matches: `^${pods.metric.name}$`, as: pods.metric.name })
  })

  it('life does not depend on the database, and a slow start has time', () => {
    const { startupProbe, livenessProbe, readinessProbe } = container
    expect([startupProbe, livenessProbe, readinessProbe].map(({ httpGet }) => httpGet.path)).toEqual([
      '/healthz',
      '/healthz',
      '/readyz',
    ])
    const start = startupProbe.periodSeconds * startupProbe.failureThreshold
    expect(start).toBeGreaterThanOrEqual(300)
    expect(deployment.spec.progressDeadlineSeconds).toBeGreaterThan(start)
    expect(livenessProbe.periodSeconds * livenessProbe.failureThreshold).toBeGreaterThanOrEqual(60)
  })

  it('whoever is told to stop has the time that src/main.ts takes', () => {
    const { seconds } = container.lifecycle.preStop.sleep
    expect(seconds).toBeGreaterThanOrEqual(5)
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(seconds + secondsToEnd() + 5)
  })

  it('there are always two to answer, replacements come first, and one that drains a node may always go on', () => {
    expect(deployment.spec.replicas).toBeUndefined() // or each apply would undo what the autoscaler did
    expect(autoscaler.spec.minReplicas).toBeGreaterThanOrEqual(2)
    expect(deployment.spec.strategy.rollingUpdate).toEqual({ maxSurge: 1, maxUnavailable: 0 })
    expect(manifest('kubernetes/pod-disruption-budget.yaml').spec).toMatchObject({ maxUnavailable: 1 })
    const connections = /^const connections = (\d+)$/m.exec(
      readFileSync(join(root, 'src/storage/postgres.ts'), 'utf8'),
    )
    const most = (autoscaler.spec.maxReplicas + 1) * Number(connections?.[1])
    expect(most).toBeLessThanOrEqual(97) // Postgres takes 100 unless it is told otherwise, and keeps 3 for itself
    expect(autoscaler.spec.behavior.scaleDown.stabilizationWindowSeconds).toBeGreaterThanOrEqual(300)
  })

  it('a pod may do nothing that it need not', () => {
    const { runAsUser, runAsGroup } = pod.securityContext
    expect(instructions()).toContainEqual({ name: 'USER', words: `${runAsUser}:${runAsGroup}` })
    expect(pod).toMatchObject({
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      securityContext: { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: 'RuntimeDefault' } },
    })
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    })
  })
})
