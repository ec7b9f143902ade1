import { nodeArgs } from '../test/support/program.ts'
import { type Server, type Start, spawnServer } from './spawn-server.ts'

/** The real program, started as `npm start` does, with its log at its default level in a file. */
export const startInstance = (
  upstream: string,
  env: Readonly<Record<string, string>>,
  { flags = [], ...how }: Pick<Start, 'cpus' | 'pause'> & { readonly flags?: readonly string[] } = {},
): Promise<Server> =>
  spawnServer({
    ...how,
    command: process.execPath,
    args: () => [...flags, ...nodeArgs],
    ready: '/readyz',
    env: {
      OPENAI_BASE_URL: upstream,
      DAEHWA_DEFAULT_MODEL: 'canned',
      DAEHWA_CONTEXT_WINDOW: '1000000', // the whole history goes along
      ...env,
    },
  })
