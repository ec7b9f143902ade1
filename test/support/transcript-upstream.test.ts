import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { type Fault, startTranscriptUpstream, transcript } from './transcript-upstream.ts'

const messages = [{ role: 'user', content: '안녕' }]

async function ask(fault: Fault = {}) {
  const upstream = await startTranscriptUpstream()
  upstream.faults.push(fault)
  const body = JSON.stringify({ model: 'm', messages })
  const reply = await fetch(`${upstream.baseUrl}/chat/completions`, {
    ...{ method: 'POST', body, signal: AbortSignal.timeout(700) },
  })
  return { upstream, reply }
}

describe('the transcript upstream', () => {
  it('tells in its answer what it was sent, and journals it', async () => {
    const { upstream, reply } = await ask()
    const { count, digest } = transcript(messages)
    const text = (await reply.text()).replaceAll(/"\}.*\n\ndata: .*"content":"/g, '')
    expect(text).toContain(`count=${count} digest=${digest}`)
    expect(upstream.journal).toMatchObject([{ model: 'm', messages }])
    expect(JSON.parse(readFileSync(upstream.journalFile, 'utf8'))).toMatchObject({ model: 'm', messages })
  })

  it('gives another digest for any other context', () => {
    const swapped = [{ role: 'assistant', content: 'a' }, ...messages]
    const digests = [messages, swapped, swapped.toReversed(), [...messages, ...messages], []].map(transcript)
    expect(new Set(digests.map(({ digest }) => digest)).size).toBe(5)
  })

  it('does wrong what it is told to', async () => {
    expect((await ask({ status: 503 })).reply.status).toBe(503)
    await expect(ask({ delay: 2_000 })).rejects.toThrow(/timeout/)
    await expect((await ask({ cutAfter: 2 })).reply.text()).rejects.toThrow('terminated')
    await expect((await ask({ stallAfter: 2 })).reply.text()).rejects.toThrow(/timeout/)
    expect(await (await ask({ finishReason: null })).reply.text()).not.toContain('"finish_reason":"')
    expect(await (await ask({ data: ['{oops'] })).reply.text()).toBe('data: {oops\n\n')
    expect(await (await ask({ say: '한글', byteByByte: true })).reply.text()).toContain('한글')
    expect(await (await ask({ whole: true })).reply.json()).toMatchObject({
      choices: [{ finish_reason: 'stop' }],
    })
    expect((await (await ask({ say: 'x', repeat: 9 })).reply.text()).match(/"content":"x"/g)).toHaveLength(9)
  })
})
