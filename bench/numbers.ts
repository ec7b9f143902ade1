export function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const [low = 0, high = 0] = [sorted[middle - 1], sorted[middle]]
  return sorted.length % 2 === 1 ? high : (low + high) / 2
}

/** For people: a thousand as 1,000, and no more digits than mean something. */
export function shown(number: number): string {
  const size = Math.abs(number)
  const digits = size >= 100 ? 0 : size >= 10 ? 1 : size === 0 || size >= 1 ? 2 : 3
  return number.toLocaleString('en-US', { maximumFractionDigits: digits })
}

export const bytes = (number: number): string => {
  const units = ['bytes', 'KB', 'MB', 'GB', 'TB']
  const power = number < 10_000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(number) / 3))
  return `${shown(number / 1_000 ** power)} ${units[power]}`
}
