import type { WriteStream } from 'node:tty'

const width = 24
/** Milliseconds between two lines where the output is no terminal, and between two changes where it is one. */
const pause = { line: 5_000, bar: 100 }

/** Shows how far long work is: a bar that moves on a terminal, now and then a line elsewhere. */
export function progressTo(out: WriteStream): (what: string, done: number, total: number) => void {
  let shown = 0
  let last = ''
  return (what, done, total) => {
    const at = performance.now()
    const over = done >= total
    if (!over && what === last && at - shown < (out.isTTY ? pause.bar : pause.line)) return
    shown = at
    last = what
    const share = total === 0 ? 1 : Math.min(1, done / total)
    const bar = '█'.repeat(Math.round(share * width)).padEnd(width, '░')
    const line = `${what.padEnd(24)} ${bar} ${Math.floor(share * 100)} % (${done} of ${total})`
    out.write(out.isTTY ? `\r${line}\x1b[K${over ? '\n' : ''}` : `${line}\n`)
  }
}
