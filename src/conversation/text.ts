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
