import { invalid } from './errors.ts'

/**
 * Text from a caller as every database can keep it.
 *
 * @throws DaehwaError `invalid_request` for half of a surrogate pair, and for NUL
 */
export function checkText(text: string): void {
  if (!text.isWellFormed()) throw invalid('A text holds half of a surrogate pair. Send whole characters.')
  if (text.includes('\0')) throw invalid('A text holds a NUL character. Leave it out.')
}

/** Text from a model, made so: it is not refused, since its sender cannot be told. */
export function cleanText(text: string): string {
  return text.toWellFormed().replaceAll('\0', '')
}

/** Cleans a text that comes in pieces, which may be cut between the halves of a surrogate pair. */
export class TextCleaner {
  #held = ''

  /** The next piece; a half at its end is held back until the other one comes. */
  push(piece: string): string {
    const text = this.#held + piece
    const last = text.charCodeAt(text.length - 1)
    const cut = last >= 0xd800 && last <= 0xdbff ? text.length - 1 : text.length
    this.#held = text.slice(cut)
    return cleanText(text.slice(0, cut))
  }

  /** What is still held back. */
  end(): string {
    const rest = cleanText(this.#held)
    this.#held = ''
    return rest
  }
}
