import { invalid } from './errors.ts'

const maxCodePoints = 128
/** Control, format (zero-width, bidi), lone surrogate, and the two separators that break lines. */
const unprintable = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u

/**
 * The one form in which a client name is stored and compared: Unicode NFC, 1 to 128 code points, printable.
 * Neither NFKC nor case folding: names that look different stay different.
 *
 * @throws DaehwaError `invalid_request`
 */
export function clientName(raw: string): string {
  if (unprintable.test(raw)) {
    throw invalid(
      "'client_name' holds a control, zero-width or direction character, or half of a surrogate pair. Send printable characters only.",
    )
  }
  const name = raw.normalize('NFC')
  const length = [...name].length
  if (length === 0)
    throw invalid("'client_name' is empty. Send 1 to 128 characters that name the conversation.")
  if (length > maxCodePoints) {
    throw invalid(`'client_name' has ${length} characters. Send at most ${maxCodePoints}.`)
  }
  return name
}
