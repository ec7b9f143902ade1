import type { ArchiveLine } from '../conversation/archive.ts'
import { format } from './schemas/archive.ts'

/** How much text is sent in one piece, in UTF-16 units. */
const piece = 65_536

/** An export as JSON Lines, in pieces of many lines. `tenant` is named where the reader may not know it. */
export async function* archiveText(
  lines: AsyncIterable<ArchiveLine>,
  tenant?: string,
): AsyncGenerator<string> {
  let text = ''
  for await (const line of lines) {
    text += `${JSON.stringify(toJson(line, tenant))}\n`
    if (text.length < piece) continue
    yield text
    text = ''
  }
  yield text
}

function toJson(line: ArchiveLine, tenant: string | undefined): object {
  switch (line.kind) {
    case 'client': {
      const { name, settings, createdAt, activeAt } = line.client
      return {
        ...{ format: format.name, version: format.version, tenant, client_name: name, settings },
        created_at: timeText(createdAt),
        last_active_at: timeText(activeAt),
      }
    }
    case 'summary': {
      const { id, text, turns, tokens, model, at } = line.summary
      return { summary: text, turns, tokens, model, timestamp: timeText(at), id }
    }
    case 'message': {
      const { id, turnId, role, content, at, ...more } = line.message
      return { role, content, timestamp: timeText(at), turn_id: turnId, id, ...more }
    }
    case 'end':
      return { end: true, messages: line.messages }
  }
}

const timeText = (at: number): string => new Date(at).toISOString()
