import type { Figures } from './interleaved.ts'
import type { PerformanceResult } from './performance-result.ts'

const names: Readonly<Record<string, string>> = {
  base: 'base (keeps nothing)',
  full: 'Daehwa, full',
  normal: 'Daehwa, normal',
  express: 'Express + openai SDK',
  portkey: 'Portkey gateway',
  fastapi: 'FastAPI + httpx',
}

const panels: readonly { title: string; left: number; of: (one: Figures) => number }[] = [
  { title: 'throughput (base = 1)', left: 170, of: ({ throughputRatio }) => throughputRatio },
  { title: 'CPU of a request (base = 1)', left: 490, of: ({ cpuRatio }) => cpuRatio },
]

const [width, barWidth, barHeight, step, top] = [800, 240, 18, 28, 40]
/** They can be read on white and on black. */
const colours = { text: '#7d8590', bar: '#8b949e', ours: '#2f81f7' }

/** Two bars for each contender, as SVG. */
export function plot({ comparison }: PerformanceResult): string {
  const height = top + comparison.length * step
  const labels = comparison.map(({ name }, i) => text(160, middle(i), names[name] ?? name, 'end'))
  const bars = panels.flatMap(({ title, left, of }) => {
    const most = Math.max(...comparison.map(of))
    return [
      text(left, 20, title, 'start', ' font-weight="bold"'),
      ...comparison.flatMap((one, i) => {
        const long = round((of(one) / most) * barWidth)
        const fill = one.name === 'full' || one.name === 'normal' ? colours.ours : colours.bar
        return [
          `<rect x="${left}" y="${top + i * step}" width="${long}" height="${barHeight}" fill="${fill}"/>`,
          text(left + long + 6, middle(i), of(one).toFixed(2), 'start'),
        ]
      }),
    ]
  })
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="Throughput and CPU of a request against the base" font-family="system-ui, sans-serif" font-size="13" fill="${colours.text}">`,
    ...[...labels, ...bars].map((line) => `  ${line}`),
    '</svg>',
    '',
  ].join('\n')
}

const middle = (row: number): number => top + row * step + barHeight / 2 + 5

const round = (value: number): number => Math.round(value * 10) / 10

const text = (x: number, y: number, content: string, anchor: 'start' | 'end', more = ''): string =>
  `<text x="${round(x)}" y="${y}" text-anchor="${anchor}"${more}>${content}</text>`
