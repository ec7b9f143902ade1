import type { Socket } from 'node:net'
import { DaehwaError, invalid } from '../../conversation/errors.ts'
import { errorBody, statusOf } from '../error-handler.ts'
import { browserHeaders } from './browser-headers.ts'
import { requestId } from './request-log.ts'

const fixedHeaders = Object.entries({ ...browserHeaders, 'cache-control': 'no-store' })
  .map(([name, value]) => `${name}: ${value}\r\n`)
  .join('')

/** Answers what could not even be read as an HTTP request, and closes the connection. */
export function answerBrokenRequest(error: Error & { code?: string }, socket: Socket): void {
  if (socket.destroyed || !socket.writable || error.code === 'ECONNRESET') {
    socket.destroy()
    return
  }
  const problem = problemOf(error.code)
  const status = statusOf[problem.code]
  const body = JSON.stringify(errorBody(problem, requestId({})))
  socket.end(
    `HTTP/1.1 ${status} ${status === 400 ? 'Bad Request' : 'Error'}\r\ncontent-type: application/json; charset=utf-8\r\n` +
      fixedHeaders +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    () => socket.destroy(),
  )
}

/** Codes are those of Node's HTTP parser, llhttp. */
function problemOf(code: string | undefined): DaehwaError {
  switch (code) {
    case 'HPE_INVALID_URL':
      return invalid(
        `The address holds characters that must be percent-encoded, as encodeURIComponent does. With curl, send 'client_name' with -G --data-urlencode "client_name=…".`,
      )
    case 'HPE_HEADER_OVERFLOW':
      return DaehwaError.of('headers_too_large')
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return DaehwaError.of('request_timeout')
    default:
      return invalid('This is not a valid HTTP/1.1 request.')
  }
}
