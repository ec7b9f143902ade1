import { spawn, spawnSync } from 'node:child_process'
import { appendFileSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { expect, it, onTestFinished } from 'vitest'
import { freePort } from '../support/free-port.ts'
import { secondsToEnd } from '../support/grace.ts'
import { cloneToMachine, startNginx, startUnit } from '../support/machine.ts'
import { nodeArgs } from '../support/program.ts'
import { startRecorder } from '../support/start-recorder.ts'
import { needsTool } from '../support/tools.ts'

const root = resolve(import.meta.dirname, '../..')
const read = (file: string): string => readFileSync(join(root, file), 'utf8')
const linesOf = (page: string): string[] =>
  /```sh\n(name=[\s\S]*?)\n```/.exec(read(page))?.[1]?.split('\n') ?? []
const lines = linesOf('README.md')
const name = 'bot.example.com'

/** What belongs to a whole machine: packages, the manager of services, a certificate of a name. */
const ofTheMachine = /^(apt-get|systemctl|certbot) /
const steps = (line: string): string[] => line.split(' && ')
const here = (line: string): string =>
  steps(line)
    .filter((step) => !ofTheMachine.test(step))
    .join(' && ')

it('takes ten lines, the same in both languages', () => {
  expect(lines).toHaveLength(10)
  expect(linesOf('README.ko.md')).toEqual(lines)
  expect(lines.flatMap(steps).filter((step) => ofTheMachine.test(step))).toEqual([
    'apt-get update',
    'apt-get install -y nginx certbot python3-certbot-nginx',
    'systemctl enable --now daehwa',
    'systemctl reload nginx',
    `certbot --nginx -d "$name"`,
  ])
})

it('works as printed: through nginx words come one by one, each caller needs a key, and nobody is taken for a neighbour', async () => {
  for (const tool of ['nginx', 'openssl', 'curl']) needsTool(tool)
  const upstream = await startRecorder()
  const { promise: released, resolve: release } = Promise.withResolvers<void>()
  onTestFinished(() => release())
  upstream.answer = async ({ method }, reply) => {
    if (method === 'GET') return reply.end(JSON.stringify({ data: [{ id: 'm' }] }))
    const piece = (content: string, finish_reason: string | null) =>
      `data: ${JSON.stringify({ model: 'm', choices: [{ index: 0, delta: { content }, finish_reason }] })}\n\n`
    reply.writeHead(200, { 'content-type': 'text/event-stream' })
    reply.write(piece('One ', null))
    if (upstream.requests.filter((asked) => asked.method === 'POST').length > 1) await released
    return reply.end(`${piece('two.', 'stop')}data: [DONE]\n\n`)
  }
  const machine = cloneToMachine()
  const own = (line: string) =>
    here(line).replace('OPENAI_API_KEY=sk-…', `OPENAI_BASE_URL=http://${upstream.address}/v1`)
  const [before, after] = [lines.slice(0, 7), lines.slice(7)].map((part) =>
    part.map(own).filter((line) => line !== ''),
  )
  if (before === undefined || after === undefined) throw new Error('there are ten lines')

  await machine.run(before)
  const settings = machine.inside('/etc/daehwa.env')
  expect(statSync(settings).mode & 0o777).toBe(0o600)
  // Port 10000 may be another's here.
  const port = String(await freePort())
  appendFileSync(settings, `PORT=${port}\n`)
  const site = machine.inside('/etc/nginx/conf.d/daehwa.conf')
  writeFileSync(site, readFileSync(site, 'utf8').replace('127.0.0.1:10000', `127.0.0.1:${port}`))
  const service = await startUnit(machine, 'etc/systemd/system/daehwa.service')
  const env = { PATH: process.env['PATH'] ?? '', ...(await startNginx(machine, name)) }
  const curl = (...args: string[]) =>
    spawn('curl', ['-sN', ...args], { env, stdio: ['ignore', 'pipe', 'ignore'] })
  const statusOf = (url: string, ...more: string[]) =>
    text(curl('-o', '/dev/null', '-w', '%{http_code}', url, ...more).stdout)
  await expect.poll(() => statusOf(`https://${name}/healthz`), { timeout: 5_000 }).toBe('200')

  const printed = await machine.run([`name=${name}`, ...after], env)
  expect(printed).toMatch(/^daehwa_\S{43}$/m)
  expect(printed).toMatch(/One two\.\s*$/) // the answer to the last line
  expect(printed.match(/^DAEHWA_API_KEY=[0-9a-f]{64}$/gm)).toHaveLength(1)
  const tenantKey = /^daehwa_\S{43}$/m.exec(printed)?.[0] ?? ''

  const bearer = ['-H', `Authorization: Bearer ${tenantKey}`]
  const json = [...bearer, '-H', 'Content-Type: application/json', '-d']
  const slow = ['text/plain', 'text/event-stream'].map((accept) => {
    const body = JSON.stringify({ input: '안녕', client_name: accept })
    return curl(`https://${name}/query`, ...json, body, '-H', `Accept: ${accept}`)
  })
  const heard = slow.map(({ stdout }) => {
    let came = ''
    stdout.on('data', (chunk) => (came += chunk))
    return () => came
  })
  const said = (word: string) => heard.map((came) => came().includes(word))
  await expect.poll(() => said('One '), { timeout: 5_000 }).toEqual([true, true])
  expect(said('two.')).toEqual([false, false]) // the model still holds it back
  release()
  await expect.poll(() => said('two.'), { timeout: 5_000 }).toEqual([true, true])

  const claims = [[], ['X-Forwarded-For: 127.0.0.1'], ['Forwarded: for=127.0.0.1'], ['X-Real-IP: 127.0.0.1']]
  const all = claims.map((claim) => claim.flatMap((header) => ['-H', header]))
  const refused = () => Promise.all(all.map((claim) => statusOf(`https://${name}/models`, ...claim)))
  expect(await refused()).toEqual(['401', '401', '401', '401'])
  expect(await statusOf(`https://${name}/models`, ...bearer)).toBe('200')
  expect(await statusOf(`https://${name}/admin/keys`, ...bearer)).toBe('403')
  expect(await statusOf(`https://${name}/models`, ...bearer, '-H', 'Host: rebound.example.net')).toBe('421')
  expect(await statusOf(`https://${name}/models`, ...bearer, '-H', 'Origin: https://example.net')).toBe('403')
  const tooLarge = join(machine.dir, 'large.json')
  writeFileSync(tooLarge, JSON.stringify({ input: 'x'.repeat(1_100_000), client_name: 'a' }))
  expect(await statusOf(`https://${name}/query`, ...json, `@${tooLarge}`)).toBe('413')

  // Where somebody leaves out the operator's key, this machine needs none; whoever comes through the proxy does.
  await service.end()
  writeFileSync(settings, readFileSync(settings, 'utf8').replace(/^DAEHWA_API_KEY=.*\n/m, ''))
  await startUnit(machine, 'etc/systemd/system/daehwa.service')
  expect(await statusOf(`http://127.0.0.1:${port}/models`)).toBe('200')
  expect(await refused()).toEqual(['401', '401', '401', '401'])
}, 180_000)

it('has a unit that systemd takes, that starts Node.js as npm start does, and has time to end', () => {
  const unit = read('deploy/systemd/daehwa.service')
  expect(unit).toContain(`/node --max-semi-space-size=16 bin/daehwa.js\n`)
  expect(nodeArgs.join(' ')).toMatch(/^--max-semi-space-size=16 .*bin\/daehwa\.js$/)
  expect(Number(/^TimeoutStopSec=(\d+)$/m.exec(unit)?.[1])).toBeGreaterThan(secondsToEnd())
  needsTool('systemd-analyze')
  const machine = cloneToMachine()
  const file = join(machine.dir, 'daehwa.service')
  const verify = (content: string) => {
    writeFileSync(file, content)
    return spawnSync('systemd-analyze', ['verify', '--man=no', file], { encoding: 'utf8' })
  }
  const program = unit.replace('/opt/daehwa/node_modules/.bin/node', process.execPath)
  expect(verify(program)).toMatchObject({ status: 0, stderr: '' })
  expect(verify(program.replace('DynamicUser', 'DynamikUser')).stderr).toContain('Unknown key')
})
