import { Type } from 'typebox'

const statuses: Readonly<Record<number, string>> = {
  400: '잘못된 요청',
  401: 'The key is missing or wrong',
  403: 'The key may not do this, or pages of this origin may not',
  404: 'There is no such turn',
  409: 'Too many messages of this conversation are waiting, this one was cancelled, or there is a history already',
  410: 'The history was cleared while the message was being answered',
  413: 'The body is over 1 MiB',
  415: 'The body is not JSON',
  421: 'The server is not known by this Host',
  422: 'The Idempotency-Key was sent before with another body',
  429: 'The upstream is rate limiting',
  500: '서버 에러',
  502: 'The upstream failed, or sent what cannot be used',
  503: 'The storage or the upstream cannot be used right now, or the server is overloaded or shutting down',
  504: 'The upstream is too slow',
  507: 'The disk of the server is full',
}

const errorSchema = (description: string) =>
  Type.Object(
    {
      error: Type.String({ description: 'What is wrong, and what would be right' }),
      code: Type.String({ description: 'The same in one word, for programs' }),
      request_id: Type.String({ description: "Where to find it in the server's log" }),
    },
    { description },
  )

/** The responses of a route that may fail with these statuses; 401, 403, 421 and 500 are among them always. */
export function errorResponses(...codes: (keyof typeof statuses)[]) {
  const all = [...new Set([...codes, 401, 403, 421, 500])].sort((a, b) => Number(a) - Number(b))
  return Object.fromEntries(all.map((code) => [code, errorSchema(statuses[code] ?? '')]))
}
