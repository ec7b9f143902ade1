import { expect, it } from 'vitest'
import type { Followable } from '../../src/conversation/follow-turn.ts'
import { endedTurn } from '../../src/conversation/follow-turn.ts'
import { recordOf } from '../../src/conversation/new-turn.ts'
import { SharedTurns } from '../../src/conversation/shared-turns.ts'
import type { TurnStatus } from '../../src/conversation/turn.ts'
import { someone, turn } from '../contract/samples.ts'

const ended = (status: TurnStatus, there: () => boolean): Followable =>
  endedTurn({ ...recordOf(turn(someone(), 'hi')), status }, async () => there())

it('reads a turn that is over once for all who read it, as long as it is there', async () => {
  const shared = new SharedTurns()
  let reads = 0
  let there = true
  const read = async () => {
    reads++
    return ended('completed', () => there)
  }
  const first = await shared.read('a', read)
  expect(await shared.read('a', read)).toBe(first)
  expect(await shared.read('b', read)).not.toBe(first)
  expect(reads).toBe(2)
  there = false
  expect(await shared.read('a', read)).not.toBe(first)
})

it.each(['queued', 'in_progress', 'failed'] as const)('reads one that is %s again', async (status) => {
  const shared = new SharedTurns()
  const first = await shared.read('a', async () => ended(status, () => true))
  const next = ended('completed', () => true)
  expect(first).not.toBe(next)
  expect(await shared.read('a', async () => next)).toBe(next)
})
