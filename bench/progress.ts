/** One line on standard error that tells what is being done; a line for each where nobody watches it change. */
export function progress(line: string): void {
  process.stderr.write(process.stderr.isTTY ? `\r\x1b[2K${line}` : `${line}\n`)
}
