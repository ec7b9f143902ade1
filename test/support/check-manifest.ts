import { PodMonitor } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PodMonitor'
import { Deployment } from 'kubernetes-models/apps/v1/Deployment'
import { HorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2/HorizontalPodAutoscaler'
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget'
import { Secret } from 'kubernetes-models/v1/Secret'
import { Service } from 'kubernetes-models/v1/Service'

const models = [Deployment, HorizontalPodAutoscaler, PodDisruptionBudget, PodMonitor, Secret, Service]

/**
 * What is wrong with a manifest, by the schemas of Kubernetes and of the Prometheus operator. These let unknown fields
 * pass, so that `livenesProbe` would be no probe and no error: a field at which the validator did not look is one, too.
 */
export function faultsOf(manifest: object): string[] {
  const model = models.find(({ is }) => is(manifest))
  if (model === undefined) return ['no schema is known of this apiVersion and kind']
  const seen = new Set<string>()
  try {
    Reflect.apply(model.prototype.validate, watched(manifest, '', seen), [])
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)]
  }
  return pathsIn(manifest, '').flatMap((path) => (seen.has(path) ? [] : [`${path} is no field`]))
}

/** The same value, which notes every path that is read. */
function watched(value: object, path: string, seen: Set<string>): object {
  return new Proxy(value, {
    get(target, name) {
      const inner: unknown = Reflect.get(target, name)
      if (typeof name === 'symbol' || !Object.hasOwn(target, name)) return inner
      seen.add(`${path}/${name}`)
      return isObject(inner) ? watched(inner, `${path}/${name}`, seen) : inner
    },
  })
}

function pathsIn(value: object, path: string): string[] {
  return Object.entries(value).flatMap(([name, inner]: [string, unknown]) => {
    const here = `${path}/${name}`
    return [here, ...(isObject(inner) ? pathsIn(inner, here) : [])]
  })
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null
