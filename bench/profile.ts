/** Where the time of a query goes, by a profile of the real program under load. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { startDaehwa, withKey } from './contenders.ts'
import { clients, runLoad } from './load.ts'
import { cpuOfTree } from './processes.ts'
import { progress } from './progress.ts'
import { type ProfileResult, profilePages, profileTables } from './report-profile.ts'
import { save, thisMachine } from './results.ts'
import { type Profile, partsOf } from './rooms.ts'
import { prepareStage, seeded, sets } from './stage.ts'
import { readOptions, requireTools } from './tools.ts'

const options = readOptions()
/** Seconds: until the server is warm, and from there on. */
const [warmUp, measured] = [12, 8]

requireTools()
const result = await measure()
process.stdout.write(`${Object.values(profileTables(result)).join('\n\n')}\n`)
if (options.save) save('profile', result, profilePages)

async function measure(): Promise<ProfileResult> {
  await using stage = await prepareStage()
  const data = await seeded(stage, sets(1, clients, 0))
  const dir = stage.newDir()
  const flags = ['--cpu-prof', `--cpu-prof-dir=${dir}`, '--cpu-prof-interval=500']
  const server = await startDaehwa(stage, data.dir, { flags })
  const load = async (seconds: number, from: number) => {
    const used = cpuOfTree(server.pid)
    const { connections } = options
    const asked = { urls: [server.url], connections, seconds, from, cpus: [1] }
    const { requests, perSecond } = await runLoad({ ...asked, request: withKey(data.secret) })
    return { requests, perSecond, cpu: (cpuOfTree(server.pid) - used) / requests }
  }
  progress('warming up')
  const { requests } = await load(warmUp, 0)
  progress('measuring')
  const { cpu, perSecond } = await load(measured, requests)
  await server[Symbol.asyncDispose]()
  const [file = ''] = readdirSync(dir)
  const profile = JSON.parse(readFileSync(join(dir, file), 'utf8')) as Profile
  const parts = partsOf(profile, warmUp / (warmUp + measured))
  return { ...thisMachine({}), method: options, busy: 1_000 / perSecond, cpu, parts }
}
