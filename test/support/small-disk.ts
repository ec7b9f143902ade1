import { execFileSync } from 'node:child_process'
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { temporaryDir } from './start-server.ts'
import { needsTool } from './tools.ts'

/** A disk of 2 MB for one test, which is skipped where nobody may mount one. */
export function smallDisk(): string {
  needsTool('mount', () => process.getuid?.() === 0 || 'only root can mount a small disk')
  const dir = temporaryDir()
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', dir])
  onTestFinished(() => void execFileSync('umount', ['--lazy', dir]))
  return dir
}

/** Writes until nothing more goes on the disk, whoever else writes to it meanwhile. */
export function fill(dir: string): string {
  const file = join(dir, 'filler')
  try {
    for (;;) appendFileSync(file, Buffer.alloc(4_096))
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOSPC') return file
    throw error
  }
}
