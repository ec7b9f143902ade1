import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { clientOf } from './client.ts'
import { startServer, temporaryDir } from './start-server.ts'
import { type Message, startTranscriptUpstream } from './transcript-upstream.ts'

/** What stands between marks in a request for a summary: the summary so far, and the turns to take in. */
export function material(messages: readonly Message[]): { before: string; turns: string } {
  const text = messages.at(-1)?.content ?? ''
  const between = (mark: string) => text.split(`<${mark}>\n`)[1]?.split(`\n</${mark}>`)[0] ?? ''
  return { before: between('summary_so_far'), turns: between('conversation') }
}

/** All `turn N` that a text tells of, in order, once each. */
export const turnsIn = (text: string): number[] => [
  ...new Set([...text.matchAll(/turn (\d+)/g)].map(([, n]) => Number(n))),
]

/** A summary that says which turns it stands for. */
function coverage(messages: readonly Message[]): string {
  const { before, turns } = material(messages)
  const [, to = '0'] = /turns 1 to (\d+)/.exec(before) ?? []
  const fresh = turnsIn(turns)
  if (fresh[0] !== Number(to) + 1) return `a gap: after ${to} came ${fresh[0]}`
  return `turns 1 to ${fresh.at(-1)}`
}

/** A server with one upstream that answers, in a small window, and another one that summarises. */
export async function startLongConversation({ window = 4_096, env = {} } = {}) {
  const [chat, summaries] = [await startTranscriptUpstream(), await startTranscriptUpstream()]
  summaries.say = coverage
  const dataDir = temporaryDir()
  const config = join(dataDir, 'daehwa.config.json')
  const models = { transcript: { window } }
  const upstreams = {
    chat: { base_url: chat.baseUrl, models },
    summaries: { base_url: summaries.baseUrl, models: { transcript: { window: 32_000 } } },
  }
  writeFileSync(
    config,
    JSON.stringify({ upstreams, default_model: 'chat/transcript', summary_model: 'summaries/transcript' }),
  )
  const options = { dataDir, env: { DAEHWA_CONFIG: config, ...env } }
  const server = await startServer(options)
  return {
    ...{ chat, summaries, dataDir, server },
    client: clientOf(server.url),
    /** Starts the server again on the same data. */
    again: () => startServer(options),
  }
}
