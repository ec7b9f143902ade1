import { join, resolve } from 'node:path'
import packageJson from '../../package.json' with { type: 'json' }

const root = resolve(import.meta.dirname, '../..')
/** The options of Node and the launcher, as `npm start` has them. */
const started = /exec node (.*) (bin\/\S+) \|\|/.exec(packageJson.scripts.start)
export const nodeArgs = [...(started?.[1]?.split(' ') ?? []), join(root, started?.[2] ?? '')]
