/** The answer to a request: its status, headers, and body as JSON. */
export interface Reply {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into bodies of every shape, and asserts what it finds
  readonly body: any
}

/** A client of one server, as a bot would write it. */
export function clientOf(base: string, headers: Readonly<Record<string, string>> = {}) {
  const send = async (method: string, path: string, body?: unknown): Promise<Reply> => {
    const init: RequestInit = { method, headers: { ...headers } }
    if (body !== undefined) {
      init.body = typeof body === 'string' ? body : JSON.stringify(body)
      init.headers = { 'content-type': 'application/json', ...headers }
    }
    const reply = await fetch(base + path, init)
    const text = await reply.text()
    return {
      status: reply.status,
      headers: reply.headers,
      text,
      body: text === '' ? undefined : JSON.parse(text),
    }
  }
  const named = (name: string) => new URLSearchParams({ client_name: name })
  return {
    send,
    query: (name: string, input: string, more: object = {}) =>
      send('POST', '/query', { input, client_name: name, ...more }),
    history: (name: string, more = '') => send('GET', `/history?${named(name)}${more}`),
    clear: (name: string) => send('DELETE', `/history?${named(name)}`),
    model: (name: string) => send('GET', `/model?${named(name)}`),
    setModel: (name: string, model: string) => send('POST', '/model', { client_name: name, model }),
  }
}
