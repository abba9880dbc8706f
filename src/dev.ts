import './node_version.js'
import { type ChildProcess, spawn } from 'node:child_process'
import { watch } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { readConfig } from './config.ts'
import { migrate, waitForDatabase } from './migrate.ts'
import { isEmpty, runScript } from './scripts.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

const { url: databaseUrl, stop } = process.env.DATABASE_URL
  ? { url: process.env.DATABASE_URL, stop: async () => {} }
  : await startOwn().catch((error) => fail(error.message))
const result = readConfig({ ...process.env, DATABASE_URL: databaseUrl })
if ('errors' in result) fail(result.errors.join('\n'))
const primary = await waitForDatabase(databaseUrl, (reason) => console.error(`Waiting for the database: ${reason}`))
await migrate(primary).catch(async (error) => {
  await stop()
  fail(error.message)
})
if (await isEmpty(primary)) await runScript(primary, 'mock_data')

let server: ChildProcess | undefined
let greeted = false
let listened = false
let changed = false
let stopping = false

start()
for (const folder of ['src', 'postgres_scripts/migrations']) {
  watch(`${root}${folder}`, { recursive: true }, () => {
    changed = true
    if (server) replace(server)
    else if (!stopping) start()
  })
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  // Those that came with the embedded Postgres would stop that first, and end this process before the server has ended.
  process.removeAllListeners(signal)
  process.on(signal, () => {
    stopping = true
    if (server) server.kill()
    else end()
  })
}

function start() {
  changed = false
  server = spawn(process.execPath, [`${root}src/main.ts`], {
    env: {
      NODE_COMPILE_CACHE: `${root}.data/compile-cache`,
      SERVER_TIMING: 'on',
      ...process.env,
      DATABASE_URL: databaseUrl,
    },
    // The channel tells where it listens; when it closes, the server knows that this process is gone, even if it was killed.
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  })
  server.once('message', greet)
  if (server.stdout) createInterface({ input: server.stdout }).on('line', show)
  server.once('exit', () => {
    server = undefined
    if (stopping) end()
    else if (changed) start()
    else console.error('The server has ended; it starts again when a source file changes.')
  })
}

/** Does not wait for requests that take longer, such as a list that somebody reads slowly: the change is to be seen. */
function replace(old: ChildProcess) {
  old.kill()
  const timer = setTimeout(() => old.kill('SIGKILL'), 200)
  old.once('exit', () => clearTimeout(timer))
}

/** Once; from then on the server's own lines are all there is. */
function greet({ address, port }: { address: string; port: number }) {
  if (greeted) return
  greeted = true
  const here = `http://${['127.0.0.1', '0.0.0.0', '::'].includes(address) ? 'localhost' : address}:${port}`
  console.info(`${here}\ncurl ${here}/site/1\npsql ${databaseUrl}`)
}

function show(line: string) {
  const isFirst = !listened && line.includes('"msg":"listening"')
  listened ||= isFirst
  if (!isFirst) console.info(line)
}

async function end() {
  await stop()
  process.exit()
}

function fail(message: string): never {
  console.error(message)
  process.exit(1)
}

async function startOwn() {
  const { devData, devDatabase, startEmbedded } = await import('./embedded.ts')
  return await startEmbedded(devData, { port: 5433, database: devDatabase })
}
