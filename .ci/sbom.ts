import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import packageJson from '../package.json' with { type: 'json' }

interface Component {
  'bom-ref': string
  name: string
  properties?: readonly { name: string }[]
}

interface Sbom {
  metadata: { component: Component }
  components: Component[]
  dependencies: { ref: string; dependsOn?: string[] }[]
}

const options = ['--sbom-format=cyclonedx', '--sbom-type=application', '--package-lock-only']
const sbom = JSON.parse(execFileSync('npm', ['sbom', ...options], { encoding: 'utf8' })) as Sbom

// Not by npm's own --omit=dev: that leaves out what is needed by the server and by a test, such as pg.
const isRuntime = ({ properties = [] }: Component): boolean =>
  !properties.some(({ name }) => name === 'cdx:npm:package:development')

sbom.components = sbom.components.filter(isRuntime)
const kept = new Set([sbom.metadata.component, ...sbom.components].map((component) => component['bom-ref']))
sbom.dependencies = sbom.dependencies
  .filter(({ ref }) => kept.has(ref))
  .map(({ ref, dependsOn = [] }) => ({ ref, dependsOn: dependsOn.filter((other) => kept.has(other)) }))
sbom.metadata.component.name = packageJson.name // npm takes that of the folder

const file = 'sbom.cdx.json'
writeFileSync(file, `${JSON.stringify(sbom, null, 2)}\n`)
process.stdout.write(`sbom: ${sbom.components.length} components in ${file}\n`)
