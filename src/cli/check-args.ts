import type { ArgsDef, CommandDef } from 'citty'

/** A word of the command line that nobody asked for; the message is one line for the operator. */
class ArgsError extends Error {
  override readonly name = 'ArgsError'
}

// biome-ignore lint/suspicious/noExplicitAny: every command has arguments of its own type, and citty knows no common one
export type AnyCommand = CommandDef<any>

/** The command that the words name, as far as they name one, and the words behind that. */
export function commandOf(
  command: AnyCommand,
  words: readonly string[],
  path: readonly string[] = ['daehwa'],
): { command: AnyCommand; path: readonly string[]; rest: readonly string[] } {
  const [name = '', ...rest] = words
  const named = (command.subCommands as Record<string, AnyCommand> | undefined)?.[name]
  return named === undefined ? { command, path, rest: words } : commandOf(named, rest, [...path, name])
}

/**
 * An option that there is not would be passed over, and the command do more than was meant: a key that never expires for one
 * with `--exp 30d`.
 *
 * @throws ArgsError
 */
export function checkArgs(root: AnyCommand, words: readonly string[]): void {
  const { command, path, rest } = commandOf(root, words)
  if (command.run === undefined) return // citty says which commands there are
  const args = (command.args ?? {}) as ArgsDef
  const named = Object.entries(args).filter(([, { type }]) => type !== 'positional')
  const options = new Map(named)
  let places = Object.keys(args).length - named.length
  for (let n = 0; n < rest.length; n++) {
    const word = rest[n] ?? ''
    if (!word.startsWith('-')) {
      if (places-- > 0) continue
      throw new ArgsError(`${path.join(' ')} does not know what '${word}' is for. ${choice(path, named)}`)
    }
    const [, name = '', value] = /^--([^=]+)(=.*)?$/s.exec(word) ?? []
    const option = options.get(name)
    if (option === undefined)
      throw new ArgsError(`${path.join(' ')} has no option ${word.split('=')[0]}. ${choice(path, named)}`)
    if (option.type === 'boolean' || value !== undefined) continue
    if (rest[++n] === undefined) throw new ArgsError(`--${name} needs a value behind it`)
  }
}

const choice = (path: readonly string[], named: readonly (readonly [string, unknown])[]): string =>
  named.length === 0
    ? 'It has no options: the settings say which data it is about'
    : `It has ${named.map(([name]) => `--${name}`).join(', ')}: ${path.join(' ')} --help explains them`
