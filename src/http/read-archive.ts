import { Ajv, type ValidateFunction } from 'ajv'
import type { Static, TSchema } from 'typebox'
import type {
  ArchivedMessage,
  ArchivedSummary,
  ArchivedTurn,
  ClientArchive,
} from '../conversation/archive.ts'
import { mostPins } from '../conversation/conversation.ts'
import { DaehwaError, invalid } from '../conversation/errors.ts'
import { answerId } from '../conversation/turn-event.ts'
import { parseJsonBody } from './plugins/json-body.ts'
import { ClientLine, EndLine, MessageLine, SummaryLine } from './schemas/archive.ts'
import { describeValidation } from './validation.ts'

/** The export of a client as it is read: who it is of, and the turns that follow. */
export interface ReadArchive extends ClientArchive {
  readonly name: string
  readonly tenant: string | undefined
  readonly turns: AsyncIterable<ArchivedTurn>
}

/**
 * Reads an export line by line; the turns are read as they are asked for, up to the end.
 *
 * @throws DaehwaError `invalid_request`, which names the line
 */
export async function readArchive(lines: AsyncIterable<Uint8Array>): Promise<ReadArchive> {
  const reader = new LineReader(lines)
  const first = await reader.next('The first line is missing: {"format":"daehwa.client",…}.')
  const { tenant, client_name: name, settings, created_at, last_active_at } = reader.check(client, first)
  reader.time('last_active_at', last_active_at)
  const createdAt = reader.time('created_at', created_at)
  const second = await reader.next(missingEnd)
  const isSummary = has(second, 'summary')
  const of = isSummary ? toSummary(reader, reader.check(summary, second)) : undefined
  const turns = turnsOf(reader, isSummary ? await reader.next(missingEnd) : second, of?.turns ?? 0)
  return { name, tenant, settings, createdAt, summary: of, turns }
}

/** Whether a line is the last one of a client. */
export const isEnd = (line: unknown): boolean => has(line, 'end')

const missingEnd = 'The last line, {"end":true,…}, is missing: the export was cut off. Export again.'

async function* turnsOf(reader: LineReader, from: unknown, summarised: number): AsyncGenerator<ArchivedTurn> {
  let line = from
  let [messages, pins] = [0, 0]
  for (; !isEnd(line); line = await reader.next(missingEnd)) {
    const question = reader.message(line, 'user')
    const answer = reader.message(await reader.next(missingEnd), 'assistant')
    if (answer.turnId !== question.turnId)
      throw reader.wrong("'turn_id' must be that of the message before, whose answer this is.")
    if (answer.id !== answerId(answer.turnId))
      throw reader.wrong("'id' must be msg_ and what follows resp_ in 'turn_id', as in every export.")
    if (answer.model === undefined) throw reader.wrong("The line has no 'model', which every answer has.")
    pins += Number(question.pinned ?? false) + Number(answer.pinned ?? false)
    if (pins > mostPins) throw reader.wrong(`Over ${mostPins} messages are pinned, which is the most.`)
    messages += 2
    yield { question, answer: { ...answer, model: answer.model } }
  }
  const { messages: count } = reader.check(end, line)
  if (count !== messages) throw reader.wrong(`'messages' is ${count}, and ${messages} came. Export again.`)
  if (summarised * 2 > messages) throw reader.wrong('The summary stands for more turns than there are.')
  await reader.requireEnd()
}

/** Counts lines, so that what is wrong with one can be told. */
class LineReader {
  readonly #lines: AsyncIterator<Uint8Array>
  #number = 0

  constructor(lines: AsyncIterable<Uint8Array>) {
    this.#lines = lines[Symbol.asyncIterator]()
  }

  async next(missing: string): Promise<unknown> {
    const { done, value } = await this.#lines.next()
    this.#number++
    if (done === true) throw this.wrong(missing)
    return this.#named(() => parseJsonBody(value))
  }

  /** Behind the end there may be nothing more. */
  async requireEnd(): Promise<void> {
    this.#number++
    if ((await this.#lines.next()).done !== true)
      throw this.wrong('Nothing may follow the line {"end":true,…}. Import one client at a time.')
  }

  check<T extends TSchema>({ validate, schema }: Checked<T>, value: unknown): Static<T> {
    if (validate(value)) return value as Static<T>
    throw this.wrong(describeValidation(validate.errors ?? [], 'line', { line: schema }))
  }

  message(line: unknown, role: 'user' | 'assistant'): ArchivedMessage {
    const { timestamp, turn_id: turnId, role: known, ...more } = this.check(message, line)
    if (known !== role) throw this.wrong(`'role' must be ${role}: messages and answers take turns.`)
    this.id('turn_id', turnId, 'resp')
    this.id('id', more.id, 'msg')
    return { ...more, turnId, role, at: this.time('timestamp', timestamp) }
  }

  id(field: string, value: string, prefix: string): void {
    if (!new RegExp(`^${prefix}_[0-9a-f]{32}$`).test(value))
      throw this.wrong(`'${field}' must be ${prefix}_ and 32 of the digits 0-9 and a-f.`)
  }

  time(field: string, text: string): number {
    const at = Date.parse(text)
    if (Number.isFinite(at) && at >= 0 && new Date(at).toISOString() === text) return at
    throw this.wrong(`'${field}' must be a time as 2026-01-01T09:00:00.000Z.`)
  }

  wrong(problem: string): DaehwaError {
    return invalid(`Line ${this.#number}: ${problem}`)
  }

  #named<T>(work: () => T): T {
    try {
      return work()
    } catch (error) {
      if (error instanceof DaehwaError) throw this.wrong(error.message.replace(/^The body/, 'The line'))
      throw error
    }
  }
}

function toSummary(reader: LineReader, line: Static<typeof SummaryLine>): ArchivedSummary {
  const { summary: text, timestamp, ...more } = line
  reader.id('id', more.id, 'cmp')
  return { ...more, text, at: reader.time('timestamp', timestamp) }
}

interface Checked<T extends TSchema> {
  readonly schema: T
  readonly validate: ValidateFunction
}

const ajv = new Ajv({ strict: false, verbose: true, formats: { 'date-time': true } })
const checked = <T extends TSchema>(schema: T): Checked<T> => ({ schema, validate: ajv.compile(schema) })
const [client, summary] = [checked(ClientLine), checked(SummaryLine)]
const [message, end] = [checked(MessageLine), checked(EndLine)]

const has = (line: unknown, field: string): boolean =>
  typeof line === 'object' && line !== null && field in line
