import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { onTestFinished } from 'vitest'
import { freePort } from './free-port.ts'
import { temporaryDir } from './start-server.ts'

const root = resolve(import.meta.dirname, '../..')
const isRoot = process.getuid?.() === 0

/** A folder that plays the root of a machine on which the project was cloned to /opt/daehwa. */
export interface Machine {
  readonly dir: string
  /** Paths of the machine made paths in its folder. */
  inside(text: string): string
  /** Runs lines of bash, and answers what they print. */
  run(lines: readonly string[], env?: Readonly<Record<string, string>>): Promise<string>
}

export function cloneToMachine(): Machine {
  const dir = temporaryDir()
  chmodSync(dir, 0o755) // nobody has to come in
  for (const path of ['etc/systemd/system', 'etc/nginx/conf.d', 'opt/daehwa', 'var/lib'])
    mkdirSync(join(dir, path), { recursive: true })
  for (const path of ['package.json', 'package-lock.json', '.npmrc', 'bin', 'src', 'deploy'])
    cpSync(join(root, path), join(dir, 'opt/daehwa', path), { recursive: true })
  const inside = (text: string) => text.replace(/(?<=^|[\s='"])\/(?=(etc|opt|var)\b)/gm, `${dir}/`)
  const run = async (lines: readonly string[], env: Readonly<Record<string, string>> = {}) => {
    const script = inside(lines.join('\n'))
    const child = spawn('bash', ['--norc', '-euo', 'pipefail', '-c', script], {
      cwd: join(dir, 'opt/daehwa'),
      env: {
        PATH: process.env['PATH'],
        HOME: process.env['HOME'],
        npm_config_prefer_offline: 'true',
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const [printed, complaints] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, 'close'),
    ])
    if (child.exitCode !== 0) throw new Error(`the lines ended with ${child.exitCode}:\n${complaints}`)
    return printed
  }
  return { dir, inside, run }
}

/** Ends when it is told to, and at the latest with its test. */
function whileTested(child: ChildProcess) {
  const ended = once(child, 'close')
  const end = async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
    await ended
  }
  onTestFinished(end)
  return end
}

/** Starts what a unit of systemd says: its command in its folder, as a user who owns its state folder and nothing else. */
export async function startUnit({ dir, inside }: Machine, file: string): Promise<{ end(): Promise<void> }> {
  const unit = inside(readFileSync(join(dir, file), 'utf8'))
  const values = (name: string) =>
    [...unit.matchAll(new RegExp(`^${name}=(.+)$`, 'gm'))].map(([, value = '']) => value)
  const [command = '', ...args] = values('ExecStart').join(' ').split(' ')
  const settings = [
    ...values('EnvironmentFile').map((path) => readFileSync(path, 'utf8')),
    ...values('Environment'),
  ]
  const env = Object.fromEntries(
    settings.flatMap((text) => [...text.matchAll(/^(\w+)=(.*)$/gm)].map(([, name, value]) => [name, value])),
  )
  const state = join(dir, 'var/lib', values('StateDirectory').join())
  mkdirSync(state, { recursive: true, mode: Number.parseInt(values('StateDirectoryMode').join(), 8) })
  const nobody = { uid: 65_534, gid: 65_534 }
  if (isRoot) chownSync(state, nobody.uid, nobody.gid)
  const cwd = values('WorkingDirectory').join()
  const child = spawn(command, args, { cwd, env, stdio: 'pipe', ...(isRoot ? nobody : {}) })
  const end = whileTested(child)
  let output = ''
  await new Promise<void>((ready, fail) => {
    const collect = (chunk: Buffer) => {
      output += chunk
      if (output.includes('ready')) ready()
    }
    child.stdout.on('data', collect)
    child.stderr.on('data', collect)
    child.once('exit', () => fail(new Error(`it ended before it was ready:\n${output}`)))
  })
  return { end }
}

/**
 * Starts nginx with what lies in the machine's conf.d, for `name` with TLS as certbot sets it up, on a port of loopback.
 * Answers the environment in which curl finds it under its name, and believes its certificate.
 */
export async function startNginx({ dir, inside }: Machine, name: string): Promise<Record<string, string>> {
  const port = await freePort()
  const [key, certificate] = [join(dir, 'etc/key.pem'), join(dir, 'etc/certificate.pem')]
  const subject = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`]
  const files = ['-keyout', key, '-out', certificate]
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1']
  execFileSync('openssl', ['req', ...kind, ...subject, ...files], { stdio: 'ignore' })

  const site = inside('/etc/nginx/conf.d/daehwa.conf')
  const listen = `listen 127.0.0.1:${port} ssl; ssl_certificate ${certificate}; ssl_certificate_key ${key};`
  const written = readFileSync(site, 'utf8')
  writeFileSync(site, written.replace('listen 80;', listen).replace('listen [::]:80;', ''))
  const work = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (kind) => `${kind}_temp_path ${dir}/etc/${kind};`,
  )
  const http = [...work, 'access_log off;', `include ${dir}/etc/nginx/conf.d/*.conf;`].join('\n')
  const main = `${isRoot ? 'user root;\n' : ''}daemon off;\npid ${dir}/etc/nginx.pid;\nevents {}\nhttp {\n${http}\n}\n`
  writeFileSync(join(dir, 'etc/nginx/nginx.conf'), main)
  const child = spawn('nginx', ['-e', 'stderr', '-c', join(dir, 'etc/nginx/nginx.conf')], { stdio: 'ignore' })
  whileTested(child)

  // A machine that has much to do refuses a message for a moment: curl asks again.
  const reach = `connect-to = "${name}:443:127.0.0.1:${port}"\ncacert = "${certificate}"\nretry = 5\n`
  writeFileSync(join(dir, '.curlrc'), reach)
  return { CURL_HOME: dir }
}
