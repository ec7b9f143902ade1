import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type CannedUpstream, startCannedUpstream } from './canned-upstream.ts'
import { pin } from './processes.ts'
import { messages, type Seed, seed } from './seed.ts'

/** What all comparisons share: the upstream on core 1, and files. */
export interface Stage extends AsyncDisposable {
  readonly upstream: CannedUpstream
  /** A new folder, for data. */
  readonly newDir: () => string
  /** A file with a history of 20 messages. */
  readonly history: string
  /** A file with a whole request to a model: these, and a question. */
  readonly body: string
}

/** A database with clients, to be copied, and a key to them. */
export interface Seeded {
  readonly dir: string
  readonly secret: string
}

const historyLength = 20

export async function prepareStage(): Promise<Stage> {
  const upstream = await startCannedUpstream()
  pin(upstream.pid, [1])
  const dir = mkdtempSync(join(tmpdir(), 'daehwa-bench-'))
  const write = (name: string, content: object) => {
    writeFileSync(join(dir, name), JSON.stringify(content))
    return join(dir, name)
  }
  return {
    upstream,
    newDir: () => mkdtempSync(join(dir, 'data-')),
    history: write('history.json', messages(historyLength)),
    body: write('body.json', { model: 'canned', messages: messages(historyLength + 1) }),
    async [Symbol.asyncDispose]() {
      await upstream[Symbol.asyncDispose]()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

export async function seeded(stage: Stage, seeds: readonly Seed[]): Promise<Seeded> {
  const dir = stage.newDir()
  return { dir, secret: await seed(dir, seeds) }
}

/** A folder with a copy of it. */
export function copyOf(stage: Stage, { dir }: Seeded): string {
  const copy = stage.newDir()
  cpSync(dir, copy, { recursive: true })
  return copy
}

/** A set of clients for each round, one after the other. */
export const sets = (rounds: number, clients: number, messages = historyLength): Seed[] =>
  Array.from({ length: rounds }, (_, round) => ({ offset: round * clients, clients, messages }))
