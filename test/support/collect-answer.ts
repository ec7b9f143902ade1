import { LiveTurn } from '../../src/conversation/live-turn.ts'
import { recordOf } from '../../src/conversation/new-turn.ts'
import type { Finish, Hear, Piece } from '../../src/conversation/ports.ts'
import { measured } from './measured.ts'

/** One for all: each has the clock of the event loop watched. */
const observer = measured()

type Asking = (hear: Hear) => Promise<Finish>

/** A turn of which nothing has come. */
export function quietTurn(): LiveTurn {
  const key = { tenant: 'default', client: 'a' }
  const input = { json: '', tokens: 0, counted: true }
  return new LiveTurn(
    recordOf({ id: 'resp_1', owner: 'here', key, input, model: 'm', settings: {}, at: 0 }),
    observer.turn('resp_1', undefined),
  )
}

/** The whole of an answer, put together as a turn does it. */
export async function collectAnswer(ask: Asking) {
  const live = quietTurn()
  const finish = await ask((piece) => live.hear(piece))
  live.finish()
  return { ...live.output, ...finish }
}

/** The pieces of an answer as they come, and how it ended. */
export async function piecesOf(ask: Asking): Promise<{ pieces: Piece[]; finish: Finish }> {
  const pieces: Piece[] = []
  const finish = await ask((piece) => pieces.push(piece) > 0)
  return { pieces, finish }
}
