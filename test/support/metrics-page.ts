/** The samples on the page of a server: what stands before the last space of a line, and the number behind it. */
export async function metricsOf(url: string, headers: Record<string, string> = {}) {
  const reply = await fetch(`${url}/metrics`, { headers })
  const text = await reply.text()
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  const samples = new Map(lines.map((line) => [line.replace(/ \S+$/, ''), Number(line.replace(/.* /, ''))]))
  return { status: reply.status, type: reply.headers.get('content-type'), text, samples }
}

/** Those of one metric, without its buckets and sums, as `labels value`, in the order of the alphabet. */
export async function seriesOf(url: string, name: string): Promise<string[]> {
  const { samples } = await metricsOf(url)
  return [...samples]
    .filter(([series]) => series === name || series.startsWith(`${name}{`))
    .map(([series, value]) => `${series.slice(name.length)} ${value}`.trim())
    .toSorted()
}
