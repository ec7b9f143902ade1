import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { freePort } from '../test/support/free-port.ts'

export interface CannedUpstream extends AsyncDisposable {
  readonly baseUrl: string
  /** Answers with a stream, all of it at once. */
  readonly streamUrl: string
  readonly pid: number
}

/** An upstream that always says the same and costs next to nothing: nginx, with one worker. */
export async function startCannedUpstream(): Promise<CannedUpstream> {
  const dir = mkdtempSync(join(tmpdir(), 'daehwa-upstream-'))
  chmodSync(dir, 0o755) // a worker that root starts is nobody
  const port = await freePort()
  const config = join(dir, 'nginx.conf')
  writeFileSync(config, nginxConfig(dir, port))
  writeFileSync(join(dir, 'stream'), stream)
  const child = spawn('nginx', ['-p', dir, '-c', config, '-e', 'stderr'], { stdio: 'ignore' })
  const baseUrl = `http://127.0.0.1:${port}/v1`
  await untilAnswered(`${baseUrl}/models`, child)
  return {
    baseUrl,
    streamUrl: `http://127.0.0.1:${port}/stream/v1`,
    pid: child.pid ?? 0,
    async [Symbol.asyncDispose]() {
      const ended = once(child, 'exit')
      child.kill('SIGTERM')
      await ended
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

/** 515 bytes, as OpenAI sends them for a short answer. */
const completion = JSON.stringify({
  id: 'chatcmpl-canned',
  object: 'chat.completion',
  created: 1_767_225_600,
  model: 'canned',
  choices: [
    {
      index: 0,
      message: {
        role: 'assistant',
        content:
          'The last direct train to Busan leaves Seoul at 22:50 and arrives at 01:27. Earlier ones leave every half hour; the one at 19:00 still has seats. If you would like to sit by the window, say so and I will look. Have a good trip there!',
      },
      finish_reason: 'stop',
    },
  ],
  usage: { prompt_tokens: 300, completion_tokens: 60, total_tokens: 360 },
  system_fingerprint: 'fp_canned',
})

/** Pieces of text in a streamed answer. */
export const pieces = 200

const stream = [
  ...Array.from({ length: pieces }, () => chunk({ content: ' train' })),
  chunk({}, 'stop'),
  '[DONE]',
]
  .map((data) => `data: ${data}\n\n`)
  .join('')

function chunk(delta: object, finish_reason: string | null = null): string {
  return JSON.stringify({
    id: 'chatcmpl-canned',
    object: 'chat.completion.chunk',
    created: 1_767_225_600,
    model: 'canned',
    choices: [{ index: 0, delta, finish_reason }],
  })
}

const models = JSON.stringify({ object: 'list', data: [{ id: 'canned', object: 'model' }] })

const nginxConfig = (dir: string, port: number): string => `
daemon off;
worker_processes 1;
pid ${dir}/nginx.pid;
events { worker_connections 1024; }
http {
  access_log off;
  keepalive_requests 100000000;
  keepalive_timeout 600s;
  ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${dir}/${kind};`).join('\n  ')}
  server {
    listen 127.0.0.1:${port};
    default_type application/json;
    location = /v1/chat/completions { return 200 '${completion}'; }
    location = /stream/v1/chat/completions {
      alias ${dir}/stream;
      default_type text/event-stream;
      error_page 405 =200 $uri; # a file is not for POST
    }
    location ~ ^(/stream)?/v1/models$ { return 200 '${models}'; }
  }
}
`

/** Asks again after a pause in milliseconds. @throws Error when it ends, or says nothing for ten seconds */
export async function untilAnswered(url: string, child: ChildProcess, pause = 50): Promise<void> {
  const end = performance.now() + 10_000
  while (performance.now() < end && child.exitCode === null) {
    const reply = await fetch(url).catch(() => undefined)
    await reply?.body?.cancel()
    if (reply?.ok) return
    await wait(pause)
  }
  throw new Error(`nobody answers at ${url}`)
}
