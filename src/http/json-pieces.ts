/** Texts over so many UTF-16 units are not made into bytes at once, but as their reader takes them. */
const longText = 16_384
/** Stands for a long text in the JSON around it. No text holds it: NUL is refused and cleaned away. */
const mark = '\0'

/** A value as JSON: at once, or, where it holds long texts, in pieces of less than 64 KB each. */
export function jsonPieces(value: object): string | Generator<string> {
  const texts: string[] = []
  const json = JSON.stringify(value, (_name, inner: unknown) => {
    if (typeof inner !== 'string' || inner.length <= longText) return inner
    texts.push(inner)
    return mark
  })
  return texts.length === 0 ? json : withTexts(json.split(JSON.stringify(mark)), texts)
}

function* withTexts(around: readonly string[], texts: readonly string[]): Generator<string> {
  for (const [n, json] of around.entries()) {
    const text = texts[n]
    yield text === undefined ? json : `${json}"`
    if (text === undefined) continue
    for (let at = 0, end: number; at < text.length; at = end) {
      end = wholeCharacters(text, at + longText)
      yield JSON.stringify(text.slice(at, end)).slice(1, -1)
    }
    yield '"'
  }
}

/** The place, or the one before it where it would part the halves of a surrogate pair. */
const wholeCharacters = (text: string, at: number): number =>
  /[\uD800-\uDBFF]/.test(text.charAt(at - 1)) && at < text.length ? at - 1 : at
