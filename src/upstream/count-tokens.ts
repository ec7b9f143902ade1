import type { Pace } from '../conversation/pacer.ts'
import type { CountTokens } from '../conversation/ports.ts'

/**
 * The encoder takes time that grows with the square of a text without spaces, so a text is counted in slices
 * (in UTF-16 units). That counts 0.2 % too many tokens at most, and errs on the safe side.
 */
const slice = 512
/** The words that the encoder remembers; its own choice of 100,000 takes some hundred megabytes. */
const remembered = 4_096

/**
 * Counts by OpenAI's `o200k_base` encoding: exact for its newer models, near enough for others. The encoding is
 * loaded when it is first needed. `pace` is asked before each slice: a long text takes as much time as many short ones.
 */
export function tokenCounter(pace: Pace): CountTokens {
  let encoding: Promise<typeof import('gpt-tokenizer/encoding/o200k_base')> | undefined
  return async (text) => {
    encoding ??= import('gpt-tokenizer/encoding/o200k_base').then((loaded) => {
      loaded.setMergeCacheSize(remembered)
      return loaded
    })
    const { countTokens } = await encoding
    let tokens = 0
    for (let at = 0; at < text.length; at += slice) {
      await pace()
      // Without this a text that holds a word such as <|endoftext|> would throw.
      tokens += countTokens(detached(text.slice(at, at + slice)), { disallowedSpecial: new Set() })
    }
    return tokens
  }
}

/** The same text in a string of its own. A mere slice would keep all of `text` alive as long as the encoder remembers a word of it. */
const detached = (slice: string): string => ` ${slice}`.slice(1)
