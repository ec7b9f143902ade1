import { createHash } from 'node:crypto'
import type { ConversationKey } from './conversation.ts'
import type { TurnEvent } from './turn-event.ts'

/** Where instances ask each other: every one hears it. */
export const askedChannel = 'daehwa:asked'

/** One try of a turn: one that is tried again keeps its id. */
export interface Try {
  readonly id: string
  readonly createdAt: number
}

/** Where the owner of a turn tells of it. */
export const turnChannel = ({ id, createdAt }: Try): string => `daehwa:turn:${id}:${createdAt}`

/** Where it is told that a turn of a conversation has ended. A name goes nowhere: whoever knows it finds the channel. */
export const laneChannel = ({ tenant, client }: ConversationKey): string =>
  `daehwa:lane:${createHash('sha256').update(`${tenant}\0${client}`).digest('base64url')}`

/** `tell`: whoever runs this turn is to tell of it, from the event after the number `after` on; `look`: others have ended these. */
export type Asked =
  | { readonly tell: string; readonly createdAt: number; readonly after: number }
  | { readonly look: readonly string[] }

/** What the owner of a turn tells: the next events, but not those of its end, which the database has. */
export interface Told {
  readonly events: readonly TurnEvent[]
  /** The number of the event that comes next: whoever waits for an earlier one has missed it. */
  readonly next: number
  readonly ended: boolean
  /** Something is too large to be told: it has to be read. */
  readonly beyond: boolean
}

/** A message is undefined when it is none of these, as one of another version may be. */
export function readAsked(message: string): Asked | undefined {
  const { tell, createdAt, after, look } = fieldsOf(message)
  if (typeof tell === 'string' && isNumber(createdAt) && isNumber(after)) return { tell, createdAt, after }
  return Array.isArray(look) ? { look } : undefined
}

export function readTold(message: string): Told | undefined {
  const { events, next, ended, beyond } = fieldsOf(message)
  if (!Array.isArray(events) || !isNumber(next) || !events.every(isEvent)) return undefined
  return { events, next, ended: ended === true, beyond: beyond === true }
}

/** From -1 on, as the numbers of events are asked for. */
const isNumber = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= -1

const isEvent = (value: unknown): value is TurnEvent =>
  typeof value === 'object' &&
  value !== null &&
  'type' in value &&
  typeof value.type === 'string' &&
  'sequence_number' in value &&
  isNumber(value.sequence_number)

function fieldsOf(message: string): Partial<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(message)
    return typeof value === 'object' && value !== null ? { ...value } : {}
  } catch {
    return {}
  }
}
