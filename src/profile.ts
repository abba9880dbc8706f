import './node_version.js'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { migrate } from './migrate.ts'

const help = `Usage: npm run profile -- [--seconds 10] [--connections 32]

Starts the server on a Postgres of its own with some thousand rows, sends it requests for so many seconds, and writes a CPU profile
of the process that answered them into .data/profile/. Prints which functions took most of its time.`

const values = asked()
const [seconds, connections] = [Number(values.seconds), Number(values.connections)]
if (values.help || !(seconds > 0 && seconds <= 3_600) || !(connections >= 1 && connections <= 10_000)) {
  console.info(help)
  process.exit(values.help ? 0 : 1)
}

function asked() {
  try {
    const options = {
      help: { type: 'boolean' },
      seconds: { type: 'string', default: '10' },
      connections: { type: 'string', default: '32' },
    } as const
    return parseArgs({ options }).values
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${help}`)
    process.exit(1)
  }
}

const root = fileURLToPath(new URL('..', import.meta.url))
const folder = `${root}.data/profile`
console.info('Starting Postgres …')
const { startEmbedded } = await import('./embedded.ts')
const postgres = await startEmbedded(`${folder}/postgres-18`, { database: 'profile' })
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  // Those that came with the embedded Postgres would stop that first, and leave the server without.
  process.removeAllListeners(signal)
  process.once(signal, () => end(130))
}
await main().catch((error) => {
  console.error(error)
  return end(1)
})
await end(0)

async function end(code: number) {
  await postgres.stop()
  process.exit(code)
}

async function main() {
  console.info('Filling it …')
  await migrate(postgres.url)
  await fill(postgres.url)
  // Node writes the profile of a process when that ends. The primary writes one, too, of which there is nothing to be seen.
  const raw = `${folder}/raw-${process.pid}`
  await mkdir(raw, { recursive: true })
  console.info('Starting the server …')
  const server = spawn(process.execPath, ['--cpu-prof', `--cpu-prof-dir=${raw}`, `${root}src/main.ts`], {
    env: { ...process.env, DATABASE_URL: postgres.url, PORT: '0', WEB_CONCURRENCY: '1' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const { promise: listening, resolve } = Promise.withResolvers<{ url: string; pid: number }>()
  createInterface({ input: server.stdout }).on('line', (line) => {
    if (line.includes('"msg":"listening"')) resolve(JSON.parse(line))
  })
  const ended = once(server, 'exit')
  const { url, pid } = await Promise.race([
    listening,
    ended.then(() => {
      throw new Error('the server has ended')
    }),
  ])
  console.info(`${connections} connections for ${seconds} s …`)
  const answers = await load(url)
  server.kill()
  await ended
  const written = (await readdir(raw)).find((file) => file.includes(`.${pid}.`))
  if (!written) throw new Error(`there is no profile of process ${pid} in ${raw}`)
  const file = `${folder}/${new Date().toISOString().replaceAll(/[:.]/g, '-')}.cpuprofile`
  await rename(`${raw}/${written}`, file)
  await rm(raw, { recursive: true })
  console.info(`${Math.round(answers / seconds)} requests a second\n\n${await summary(file)}\n\n${file}
To look at it: Chrome or Edge, DevTools, Performance, "Load profile…"; or VS Code, which opens it as it is; or https://www.speedscope.app,
which reads it in the browser and sends it nowhere.`)
}

async function fill(url: string) {
  const client = new pg.Client(url)
  await client.connect()
  await client.query(`
    truncate site, freezer, computer, container;
    insert into site (id, name, country) select id, 'Site ' || id, 'Country ' || id % 20 from generate_series(1, 100) as id;
    insert into freezer (id, name, site_id) select id, 'Freezer ' || id, id % 100 + 1 from generate_series(1, 1000) as id;
    insert into computer (id, name, site_id) select id, 'Computer ' || id, id % 100 + 1 from generate_series(1, 1000) as id;
    insert into container (id, uuid, description, freezer_id)
    select id, gen_random_uuid(), 'Container ' || md5(id::text), id % 1000 + 1 from generate_series(1, 20000) as id;
    analyze`)
  await client.end()
}

/** Sends requests of all kinds, most of them reads, on so many connections, and returns how many were answered. */
async function load(url: string): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  const stopAt = performance.now() + seconds * 1_000
  const any = (most: number) => 1 + Math.floor(Math.random() * most)
  const kinds: (() => [path: string, body?: object])[] = [
    ...new Array(6).fill(() => [`/container/${any(20_000)}`]),
    () => [`/containers/${any(2_000)}/100`],
    () => [`/site/${any(100)}/overview`],
    () => [`/container/${any(20_000)}/location`],
    () => [`/freezer/${any(1_000)}/containers`],
    () => [`/containers?limit=50&sort=-id&freezer_id=${any(1_000)}`],
    () => [`/search?q=container+${any(999)}`],
    () => [`/container/${any(20_000)}`, { description: `Container ${any(1e9)}` }],
  ]
  let answers = 0
  async function client() {
    while (performance.now() < stopAt) {
      const [path, body] = (kinds[any(kinds.length) - 1] as (typeof kinds)[number])()
      const headers = body && { 'Content-Type': 'application/json' }
      const sent = request(`${url}${path}`, { agent, method: body ? 'POST' : 'GET', ...(headers && { headers }) })
      sent.end(body && JSON.stringify(body))
      const [response] = await once(sent, 'response')
      if (response.statusCode !== 200) throw new Error(`${path} is answered with ${response.statusCode}`)
      response.resume()
      await once(response, 'end')
      answers++
    }
  }
  await Promise.all(Array.from({ length: connections }, client))
  agent.destroy()
  return answers
}

type Profile = {
  nodes: { id: number; callFrame: { functionName: string; url: string; lineNumber: number } }[]
  samples: number[]
  timeDeltas: number[]
}

/** The functions that took most of the time by themselves, without what they call: a line each. */
async function summary(file: string): Promise<string> {
  const { nodes, samples, timeDeltas } = JSON.parse(await readFile(file, 'utf8')) as Profile
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]))
  const times = new Map<string, number>()
  for (const [i, id] of samples.entries()) {
    const { functionName = '', url = '', lineNumber = 0 } = frames.get(id) ?? {}
    const place = url && `${url.replace(`file://${root}`, '')}:${lineNumber + 1}`
    const name = `${functionName || '(anonymous)'} ${place}`.trim()
    times.set(name, (times.get(name) ?? 0) + (timeDeltas[i] ?? 0))
  }
  const total = timeDeltas.reduce((sum, each) => sum + each, 0)
  return [...times]
    .toSorted(([, one], [, other]) => other - one)
    .slice(0, 15)
    .map(([name, time]) => `${((100 * time) / total).toFixed(1).padStart(5)} %  ${name}`)
    .join('\n')
}
