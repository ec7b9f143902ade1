import {
  type DestinationStream,
  destination,
  type Logger,
  type LoggerOptions,
  pino,
  stdTimeFunctions,
} from 'pino'

/** How long the end of the process waits for its last line, in milliseconds. */
const longestWait = 1_000
/** For how long lines are gathered, in milliseconds. A process that is killed takes those with it. */
const gatherFor = 20

/** A log, and how it ends. */
export interface LogOutput {
  readonly log: Logger
  /**
   * Writes a last line, and resolves when it is written or nobody takes it. Without that the exit of the process would try
   * for ever to write what waits to a reader who has gone.
   */
  end(message: string): Promise<void>
}

/**
 * JSON lines on standard output. Whatever is handed to it, neither keys nor what people said come out: requests
 * and errors are cut down to what an operator needs.
 */
export function createLogger(level: string): LogOutput {
  const out = destination(1)
  const lines = gathering((text) => out.write(text))
  process.on('exit', lines.flushSync)
  const options: LoggerOptions = {
    level,
    base: null,
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    serializers: { err: describeError, error: describeError, req: describeRequest, res: () => undefined },
    redact: ['apiKey', 'authorization', 'headers', '*.apiKey', '*.authorization', '*.headers'],
  }
  const log = pino(options, lines)
  const end = (message: string) =>
    new Promise<void>((resolve) => {
      if (!log.isLevelEnabled('info')) return resolve()
      out.once('drain', resolve).once('error', () => resolve())
      setTimeout(resolve, longestWait)
      log.info(message)
      lines.flushSync()
    })
  return { log, end }
}

/**
 * Writes what comes within some milliseconds at once: a busy server would take longer to write its lines one by one than to
 * make them, and each write may wait for a disk that has commits to do.
 */
function gathering(write: (text: string) => void): DestinationStream & { flushSync(): void } {
  let text = ''
  const flushSync = () => {
    const all = text
    text = ''
    if (all !== '') write(all)
  }
  return {
    write(line) {
      if (text === '') setTimeout(flushSync, gatherFor)
      text += line
    },
    flushSync, // which pino calls after a fatal line
  }
}

/** An error without its message, which may quote a body: its kind, code, place, and the same of its cause. */
function describeError(error: unknown): object | undefined {
  if (!(error instanceof Error)) return undefined
  const code: unknown = 'code' in error ? error.code : undefined
  const errcode: unknown = 'errcode' in error ? error.errcode : undefined
  const at = error.stack
    ?.replace(error.message, '') // its lines may look like those of a stack
    .split('\n')
    .filter((line) => line.startsWith('    at '))
    .slice(0, 8)
  const cause = describeError(error.cause)
  return { type: error.name, code, errcode, at: at?.map((line) => line.trim()), ...(cause && { cause }) }
}

function describeRequest(request: unknown): object {
  const method: unknown =
    typeof request === 'object' && request && 'method' in request ? request.method : undefined
  return { method }
}
