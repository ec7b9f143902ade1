import type { LiveTurn } from './live-turn.ts'
import type { Finish, Hear } from './ports.ts'

/** Hands the pieces of an answer to the turn's followers. An answer over 8 MiB is cut there, and says so. */
export async function collect(ask: (hear: Hear) => Promise<Finish>, live: LiveTurn): Promise<Finish> {
  const finish = await ask(({ type, text }) => (type === 'reasoning' ? live.think(text) : live.add(text)))
  if (finish.incomplete !== 'max_output_bytes') live.finish()
  return finish
}
