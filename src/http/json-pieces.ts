/** Texts over so many UTF-16 units are not made into JSON at once, but piece by piece. */
const longText = 16_384
/** Stands for a long text in the JSON around it. No text holds it: NUL is refused and cleaned away. */
const mark = '\0'

/** A value as JSON without its long texts: what stands before, between and behind them, and they themselves. */
export interface JsonAround {
  readonly around: readonly string[]
  readonly texts: readonly string[]
}

export function jsonAround(value: object): JsonAround {
  if (!hasLongText(value)) return { around: [JSON.stringify(value)], texts: [] }
  const texts: string[] = []
  const json = JSON.stringify(value, (_name, inner: unknown) => {
    if (typeof inner !== 'string' || inner.length <= longText) return inner
    texts.push(inner)
    return mark
  })
  return { around: json.split(JSON.stringify(mark)), texts }
}

const hasLongText = (value: unknown): boolean =>
  typeof value === 'string'
    ? value.length > longText
    : typeof value === 'object' && value !== null && Object.values(value).some(hasLongText)

/** The whole in its order; `piecesOf` makes the pieces of one long text, in its quotes. */
export function* joined<T>(
  { around, texts }: JsonAround,
  piecesOf: (text: string) => Iterable<T>,
): Generator<string | T> {
  for (const [n, json] of around.entries()) {
    yield json
    const text = texts[n]
    if (text !== undefined) yield* piecesOf(text)
  }
}

/** A long text as JSON, in pieces of less than 64 KB each. */
export function* textPieces(text: string): Generator<string> {
  yield '"'
  for (let at = 0, end: number; at < text.length; at = end) {
    end = wholeCharacters(text, at + longText)
    yield JSON.stringify(text.slice(at, end)).slice(1, -1)
  }
  yield '"'
}

/** The place, or the one before it where it would part the halves of a surrogate pair. */
const wholeCharacters = (text: string, at: number): number =>
  /[\uD800-\uDBFF]/.test(text.charAt(at - 1)) && at < text.length ? at - 1 : at
