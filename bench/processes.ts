import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

/** The kernel counts in hundredths of a second, on every system of today. */
const tick = 10

/** A process and its children. */
function tree(pid: number): number[] {
  const threads = readdirSync(`/proc/${pid}/task`)
  const children = threads.flatMap((thread) =>
    read(`/proc/${pid}/task/${thread}/children`).split(' ').filter(Boolean).map(Number),
  )
  return [pid, ...children.flatMap(tree)]
}

/** Milliseconds of CPU of a process, its children, and those of its children that have ended. */
export function cpuOfTree(pid: number): number {
  const [own, ...children] = tree(pid)
  return timesOf(`/proc/${own}/stat`).withEnded + children.reduce((sum, child) => sum + cpuOf(child), 0)
}

export const cpuOf = (pid: number): number => timesOf(`/proc/${pid}/stat`).own

/** Of the thread alone that runs JavaScript. */
export const cpuOfMainThread = (pid: number): number => timesOf(`/proc/${pid}/task/${pid}/stat`).own

/** Of the children of this process that have ended and were waited for. */
export function cpuOfEnded(): number {
  const { own, withEnded } = timesOf('/proc/self/stat')
  return withEnded - own
}

/** Megabytes that a process has in memory. */
export function residentOf(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(read(`/proc/${pid}/status`))?.[1] ?? 0) / 1024
}

/** Milliseconds since the start of the machine that some cores were busy, and of these in interrupts, which nobody is charged for. */
export function busy(cpus: readonly number[]): { all: number; interrupts: number } {
  const lines = read('/proc/stat').split('\n')
  const sum = { all: 0, interrupts: 0 }
  for (const cpu of cpus) {
    const line = lines.find((one) => one.startsWith(`cpu${cpu} `)) ?? ''
    const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = line
      .split(' ')
      .slice(1)
      .map(Number)
    sum.all += (user + nice + system + irq + softirq + steal) * tick
    sum.interrupts += (irq + softirq) * tick
  }
  return sum
}

/** Keeps a process, its threads and its children on some cores. One that has ended meanwhile needs no more. */
export function pin(pid: number, cpus: readonly number[]): void {
  for (const one of tree(pid)) {
    try {
      execFileSync('taskset', ['-acp', cpus.join(), `${one}`], { stdio: 'pipe' })
    } catch (error) {
      if (one === pid) throw error
    }
  }
}

/** Empty for one that has ended. */
function read(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}

/** See proc(5): what stands before the last bracket is a name, which may hold anything. */
function timesOf(path: string): { own: number; withEnded: number } {
  const stat = read(path)
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const [user = 0, system = 0, endedUser = 0, endedSystem = 0] = fields.slice(11, 15).map(Number)
  return { own: (user + system) * tick, withEnded: (user + system + endedUser + endedSystem) * tick }
}
