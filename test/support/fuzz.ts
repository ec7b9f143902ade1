import fc from 'fast-check'

/** A request as bytes would be made of it; `raw`, where there is one, is sent as it is. */
export interface FuzzedRequest {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer | undefined
  readonly raw?: Buffer
}

/** Texts that have broken others. */
const oddTexts = [
  ...[
    '',
    ' ',
    '\0',
    '%',
    '%00',
    '%FF',
    '../..',
    '..%2f',
    '__proto__',
    'constructor',
    'toString',
    '-1',
    '1e999',
  ],
  ...[
    'null',
    'NaN',
    '0x10',
    '🙂'.repeat(50),
    '\u202eabc',
    '\ud800',
    'a'.repeat(5_000),
    "'; DROP TABLE turns; --",
  ],
  ...[
    '%24{jndi:ldap://127.0.0.1}',
    '<script>alert(1)</script>',
    'key_',
    'resp_',
    'msg_',
    'ﾊﾝｸﾞﾙ',
    '가'.normalize('NFD'),
  ],
]

const oddText = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom('민수', 'client', 'demo', 'transcript') },
  { weight: 3, arbitrary: fc.constantFrom(...oddTexts) },
  { weight: 2, arbitrary: fc.string({ maxLength: 40 }) },
  { weight: 2, arbitrary: fc.string({ unit: 'binary', maxLength: 40 }) },
)

const oddNumber = fc.constantFrom(
  ...[0, -0, -1, 1, 0.1, 2, 10_000, 2 ** 31, 2 ** 53, -(2 ** 53), 1e21, 1e308, 5e-324, 1.5],
)

const oddValue: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 4, arbitrary: oddText },
  { weight: 2, arbitrary: oddNumber },
  { weight: 2, arbitrary: fc.constantFrom(null, true, false, [], {}, [[]], ['a'], { a: 1 }) },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 4 }) },
)

const fields = [
  ...[
    'input',
    'client_name',
    'model',
    'stream',
    'background',
    'multitask_strategy',
    'on_disconnect',
    'instructions',
  ],
  ...[
    'temperature',
    'top_p',
    'max_output_tokens',
    'stop',
    'reasoning_effort',
    'fallback',
    'metadata',
    'compaction',
  ],
  ...[
    'compact_at',
    'summary_model',
    'keep_turns',
    'tenant',
    'expires_at',
    'tokens_per_day',
    'turns_at_once',
    'limit',
  ],
  ...['before', 'cursor', 'prefix', 'after', 'from', 'to', 'by', 'id', '__proto__', 'constructor', 'toJSON'],
]

/** A body that is nearly right, or wrong in some way. */
const json = fc
  .tuple(
    fc.record({ input: fc.constant('hi'), client_name: fc.constant('민수') }, { requiredKeys: [] }),
    fc.array(fc.tuple(fc.constantFrom(...fields), oddValue), { maxLength: 3 }),
  )
  .map(
    ([right, odd]) =>
      `{${[...Object.entries(right), ...odd].map(([k, v]) => `${JSON.stringify(k)}:${JSON.stringify(v)}`).join()}}`,
  )

const giants = [
  '1e99999',
  '-1e99999',
  '9'.repeat(400),
  '0.'.padEnd(400, '1'),
  '[',
  '"',
  '"\\ud800"',
  '"\\u0000"',
  '\ufeff{}',
]

const body: fc.Arbitrary<Buffer> = fc.oneof(
  { weight: 6, arbitrary: json.map((text) => Buffer.from(text)) },
  // truncated
  { weight: 2, arbitrary: fc.tuple(json, fc.nat(80)).map(([text, at]) => Buffer.from(text.slice(0, at))) },
  // one byte another
  {
    weight: 2,
    arbitrary: fc.tuple(json, fc.nat(200), fc.nat(255)).map(([text, at, byte]) => {
      const bytes = Buffer.from(text)
      if (bytes.length > 0) bytes[at % bytes.length] = byte
      return bytes
    }),
  },
  // in an odd encoding
  {
    weight: 1,
    arbitrary: fc
      .tuple(json, fc.constantFrom('utf16le' as const, 'latin1' as const, 'base64' as const))
      .map(([text, encoding]) => Buffer.from(text, encoding)),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(...giants).map((value) => Buffer.from(`{"input":${value},"client_name":"a"}`)),
  },
  { weight: 1, arbitrary: fc.constantFrom(...giants).map((value) => Buffer.from(value)) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.integer({ min: 1, max: 3_000 }), fc.constantFrom('[', '{"a":', '{"input":['))
      .map(([deep, open]) => Buffer.from(open.repeat(deep))),
  },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)) },
)

const headerText = fc.oneof(
  fc.constantFrom(
    ...[
      '',
      'a',
      '0',
      '-1',
      '1e9',
      'wait=5',
      'wait=-1',
      'wait=99999999',
      'respond-async',
      'Bearer ',
      'Bearer x',
      'Basic eDp5',
    ],
    ...[
      'text/event-stream',
      'text/plain',
      '*/*',
      'application/json; charset=utf-16',
      'gzip',
      'identity',
      'bytes=0-1',
    ],
    ...[
      'http://evil.example',
      'null',
      'localhost',
      'localhost:99999',
      '[::1]',
      'evil.example',
      'chunked',
      '100-continue',
      'x'.repeat(3_000),
    ],
  ),
  fc.string({ maxLength: 60 }).map((text) => text.replace(/[^\x20-\x7e]/g, '').trim()),
)

const headers = fc
  .tuple(
    fc.constantFrom(
      'application/json',
      'application/json',
      'application/json',
      'text/plain',
      'application/json; charset=latin1',
      '',
    ),
    fc.dictionary(
      fc.constantFrom(
        ...[
          'accept',
          'idempotency-key',
          'prefer',
          'last-event-id',
          'x-request-id',
          'authorization',
          'x-api-key',
          'traceparent',
        ],
        ...[
          'origin',
          'x-forwarded-for',
          'x-forwarded-host',
          'if-none-match',
          'range',
          'x-stainless-retry-count',
          'cookie',
        ],
        ...['access-control-request-method', 'content-encoding', 'accept-encoding', 'x-odd'],
      ),
      headerText,
      { maxKeys: 3 },
    ),
  )
  .map(([type, others]) => ({ ...others, ...(type !== '' && { 'content-type': type }) }))

const encoded = oddText.map((text) => encodeURIComponent(text.toWellFormed()))
const segment = fc.oneof(
  encoded,
  fc.constantFrom(...oddTexts.slice(0, 8).map((text) => encodeURI(text.toWellFormed())), '%zz', '%C3%28'),
)

const query = fc
  .array(fc.tuple(fc.constantFrom(...fields), segment), { maxLength: 3 })
  .map((pairs) =>
    pairs.length === 0 ? '' : `?${pairs.map(([name, value]) => `${name}=${value}`).join('&')}`,
  )

/** Requests over the routes of a server, `GET /turns/{id}` for example, most of them wrong in some way. */
export function fuzzedRequests(routes: readonly string[]): fc.Arbitrary<FuzzedRequest> {
  const route = fc.oneof(
    { weight: 20, arbitrary: fc.constantFrom(...routes) },
    {
      weight: 1,
      arbitrary: fc
        .tuple(fc.constantFrom('GET', 'PUT', 'OPTIONS', 'HEAD', 'TRACE', 'DELETE'), segment)
        .map(([method, path]) => `${method} /${path}`),
    },
  )
  return fc
    .tuple(
      route,
      fc.array(segment, { minLength: 3, maxLength: 3 }),
      query,
      headers,
      fc.option(body, { nil: undefined }),
    )
    .map(([named, segments, search, given, bytes]) => {
      const [method = 'GET', template = '/'] = named.split(' ')
      let next = 0
      const path = template.replace(/\{\w+\}/g, () => segments[next++] ?? 'x')
      const bare = method === 'GET' || method === 'HEAD' || method === 'TRACE'
      return { method, path: path + search, headers: given, body: bare ? undefined : bytes }
    })
}

/** What is no request, or only nearly one, as bytes on a socket. */
export const brokenRequests: fc.Arbitrary<Buffer> = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  fc
    .tuple(
      fc.constantFrom('GET', 'POST', 'get', 'G\0T', 'PRI'),
      segment,
      fc.constantFrom('HTTP/1.1', 'HTTP/2.0', 'HTTP/0.9', ''),
    )
    .map(([method, path, version]) => Buffer.from(`${method} /${path} ${version}\r\n\r\n`)),
  fc
    .constantFrom(
      ...[
        'content-length: -1',
        'content-length: 1e3',
        'content-length: 5\r\ncontent-length: 6',
        'transfer-encoding: chunked, chunked',
      ],
      ...[
        'transfer-encoding: chunked\r\ncontent-length: 3',
        'host: a\r\nhost: b',
        'bad header',
        ': empty',
        'x: \x01\x02',
        'expect: 200-maybe',
      ],
    )
    .map((header) =>
      Buffer.from(
        `POST /query HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n${header}\r\n\r\n{"input":"a"}`,
      ),
    ),
  fc
    .tuple(fc.integer({ min: 1, max: 3_000 }), fc.integer({ min: 1, max: 40 }))
    .map(([count, size]) =>
      Buffer.from(
        `GET /healthz HTTP/1.1\r\nhost: localhost\r\n${Array.from({ length: count }, (_, n) => `x-${n}: ${'y'.repeat(size)}\r\n`).join('')}\r\n`,
      ),
    ),
  fc.tuple(json, fc.integer({ min: 1, max: 40 })).map(([text, cut]) => {
    const bytes = Buffer.from(text)
    const head = `POST /query HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${bytes.length + cut}\r\n\r\n`
    return Buffer.concat([Buffer.from(head), bytes])
  }),
  fc
    .tuple(json, fc.constantFrom('zz\r\n', '5\r\nab', 'fffffffff\r\n', '0\r\n\r\n', '-1\r\n'))
    .map(([text, chunk]) =>
      Buffer.from(
        `POST /query HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n${chunk}${text}`,
      ),
    ),
)
