import './node_version.js'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { migrate, waitForDatabase } from './migrate.ts'
import { isEmpty, runScript } from './scripts.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

const databaseUrl = process.env.DATABASE_URL || (await startOwn())
await waitForDatabase(databaseUrl, (reason) => console.error(`Waiting for the database: ${reason}`))
await migrate(databaseUrl)
if (await isEmpty(databaseUrl)) await runScript(databaseUrl, 'mock_data')

const server = spawn(
  process.execPath,
  [
    '--watch',
    '--watch-preserve-output',
    `--watch-path=${root}src`,
    `--watch-path=${root}postgres_scripts/migrations`,
    `${root}src/main.ts`,
  ],
  {
    env: { NODE_COMPILE_CACHE: `${root}.data/compile-cache`, ...process.env, DATABASE_URL: databaseUrl },
    stdio: ['ignore', 'pipe', 'inherit'],
  },
)

let greeted = false
createInterface({ input: server.stdout }).on('line', (line) => {
  const url = /"url":"([^"]+)".*"msg":"listening"/.exec(line)?.[1]
  if (url && !greeted) {
    greeted = true
    const here = url.replace(/127\.0\.0\.1|0\.0\.0\.0/, 'localhost')
    console.info(`${here}\ncurl ${here}/site/1\npsql ${databaseUrl}`)
  } else {
    console.info(line)
  }
})

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => server.kill(signal))
await once(server, 'exit')
process.exit()

async function startOwn(): Promise<string> {
  const { devData, devDatabase, startEmbedded } = await import('./embedded.ts')
  return (await startEmbedded(devData, { port: 5433, database: devDatabase })).url
}
