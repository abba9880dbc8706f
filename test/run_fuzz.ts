import '../src/node_version.js'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import pino from 'pino'
import type { Document } from './fuzz.ts'

const help = `npm run fuzz -- [options]: asks the server what /openapi.json allows, and much that it doesn't, and stops at the first
answer that is not as described. It runs on a Postgres of its own, in .data/fuzz-18.

  --minutes 1   how long
  --seed 1      which requests; a failure tells its own
  --help`

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string', default: '1' },
    help: { type: 'boolean', default: false },
  },
})
const [minutes, firstSeed] = [Number(values.minutes), Number(values.seed)]
if (values.help || !(minutes > 0) || !Number.isInteger(firstSeed)) {
  console.info(help)
  process.exit(values.help ? 0 : 1)
}

const { startEmbedded } = await import('../src/embedded.ts')
const { migrate } = await import('../src/migrate.ts')
const { runScript } = await import('../src/scripts.ts')
const { connect } = await import('../src/database/connect.ts')
const { createApp } = await import('../src/app.ts')
const { fuzz } = await import('./fuzz.ts')

const postgres = await startEmbedded(fileURLToPath(new URL('../.data/fuzz-18', import.meta.url)))
const sql = connect(postgres.url)
try {
  await migrate(postgres.url)
  await runScript(postgres.url, 'create_tables')
  await runScript(postgres.url, 'mock_data')
  const app = createApp({ sql, log: pino({ level: 'error' }) })
  const document = (await (await app.request('/openapi.json')).json()) as Document
  const end = performance.now() + minutes * 60_000
  let requests = 0
  for (let seed = firstSeed; performance.now() < end; seed++) {
    const statuses = await fuzz(
      document,
      async ({ path, ...init }) => {
        const response = await app.request(path, init)
        return { status: response.status, headers: response.headers, text: await response.text() }
      },
      { runs: 100, seed },
    )
    for (const count of statuses.values()) requests += count
    const left = Math.max(0, Math.ceil((end - performance.now()) / 1000))
    console.info(`seed ${seed}: as described; ${requests} requests so far, ${left} s left (${[...statuses].join(' ')})`)
  }
} catch (error) {
  console.error((error as Error).message)
  process.exitCode = 1
} finally {
  await sql.end()
  await postgres.stop()
  process.exit()
}
