import './node_version.js'
import cluster from 'node:cluster'
import pino, { type Logger } from 'pino'
import { type Config, describeSettings, readConfig } from './config.ts'
import { hopeless, runWorkers } from './workers.ts'

if (process.argv.includes('--help')) {
  console.info(`lab-inventory: sites, freezers, containers and computers over HTTP.\n\n${describeSettings()}`)
  process.exit()
}

const result = readConfig(process.env)
if ('errors' in result) {
  console.error(result.errors.join('\n'))
  process.exit(1)
}

const { config } = result
const log = pino({ level: config.logLevel, base: { pid: process.pid } })
await (cluster.isPrimary ? runPrimary(config, log) : runWorker(config, log))

/** Readies the database, then keeps the workers running; they share one listening socket. */
async function runPrimary(config: Config, log: Logger) {
  const stopped = onStop()
  if (!(await Promise.race([ready(config, log), stopped]))) process.exit(0)
  // For npm run dev, which has opened a channel.
  cluster.once('listening', (_worker, { address, port }) => process.send?.({ address, port }))
  const workers = runWorkers(config.workers, log)
  const failed = await Promise.race([workers.failed, stopped.then(() => false)])
  await workers.stop()
  process.exit(failed ? 1 : 0)
}

async function ready(config: Config, log: Logger): Promise<true> {
  const { migrate, waitForDatabase } = await import('./migrate.ts')
  await waitForDatabase(config.databaseUrl, (reason) => log.warn(`waiting for the database: ${reason}`))
  if (!config.migrate) return true
  try {
    for (const name of await migrate(config.databaseUrl)) log.info(`applied migration ${name}`)
    return true
  } catch (error) {
    log.fatal(error, "can't apply the migrations; MIGRATE=off starts without them")
    process.exit(1)
  }
}

async function runWorker(config: Config, log: Logger) {
  const stopped = onStop()
  const { serve } = await import('./server.ts')
  const server = await serve(config, log).catch((error) => {
    log.fatal(`can't listen on ${config.host}:${config.port}: ${error.message}`)
    process.exit(hopeless)
  })
  log.info({ url: server.url }, 'listening')
  await stopped
  await server.stop()
  process.exit(0)
}

/**
 * Resolves at the first SIGTERM (from a supervisor) or SIGINT (from a terminal, which sends it to every process), or when
 * a parent that had opened a channel to this process is gone.
 */
function onStop() {
  return new Promise<undefined>((resolve) => {
    for (const event of ['SIGTERM', 'SIGINT', 'disconnect']) process.on(event, () => resolve(undefined))
  })
}
