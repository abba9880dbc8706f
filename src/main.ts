import './node_version.js'
import cluster from 'node:cluster'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import { type Config, describeSettings, readConfig, warnOfConnections } from './config.ts'
import { answerForWorkers } from './gather.ts'
import { createListener, type Listener, takeConnections } from './listener.ts'
import { createLog } from './log.ts'
import { warnOfMockPassword } from './mock_password.ts'
import { runWorkers } from './workers.ts'

/**
 * When a worker ends of which nobody knows what state it is in, if it has not by then. More than the server gives to requests in
 * flight: what it breaks off it resets, and what the end of the process breaks off looks whole to a client of HTTP/1.0.
 */
const crashedWorkerMs = 4_000

/** How long such a worker waits for the primary to let it go; nobody knows whether they still hear each other. */
const deafMs = 200

/** When a primary ends of which nobody knows what state it is in. More than it takes to end the workers, by force in the end. */
const crashedPrimaryMs = 4_900

/**
 * What the migrations wait for is said when it has lasted this long. The workers say at once what they wait for, which is the same most
 * often; but not always, because they come to the database in another way.
 */
const lastingMs = 5_000

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
const log = createLog(config.logLevel)
await (cluster.isPrimary ? runPrimary(config, log) : runWorker(config, log))

/** Keeps the workers running, which share one listening socket, and applies the migrations, for which they wait. */
async function runPrimary(config: Config, log: Logger) {
  const stopped = onStop()
  // When it is gone (killed, say), node:cluster ends the workers at once, whatever they have begun. So it is not to be gone before
  // them, if it has the choice.
  const crashed = Promise.withResolvers<true>()
  onCrash(log, () => {
    setTimeout(() => process.exit(1), crashedPrimaryMs)
    crashed.resolve(true)
  })
  answerForWorkers()
  const password = warnOfMockPassword(config.databaseUrl, process.env.NODE_ENV)
  const connections = warnOfConnections(config, process.env.DATABASE_POOL)
  for (const warning of [password, connections]) if (warning) log.warn(warning)
  const listener = createListener(config.host, config.port)
  const workers = runWorkers(config.workers, listener, log)
  const failed = await Promise.race([
    workers.failed,
    crashed.promise,
    stopped.then(() => false),
    migrated(config, log),
    listening(listener, config, log),
  ])
  await workers.stop()
  process.exit(failed ? 1 : 0)
}

/** Resolves only if it can't listen. */
async function listening(listener: Listener, { host, port }: Config, log: Logger): Promise<true> {
  try {
    const where = await listener.listening
    // For npm run dev, which has opened a channel.
    process.send?.(where)
    return new Promise<true>(() => {})
  } catch (error) {
    log.fatal(`can't listen on ${host}:${port}: ${(error as Error).message}`)
    return true
  }
}

/** Resolves only if the migrations can't be applied, and nothing but another start would help. */
async function migrated(config: Config, log: Logger): Promise<true> {
  const never = new Promise<true>(() => {})
  if (!config.migrate) return never
  const { isPassing, migrate, waitForDatabase } = await import('./migrate.ts')
  let timer: NodeJS.Timeout | undefined
  const sayLater = (reason: string) => {
    clearTimeout(timer)
    timer = setTimeout(() => log.warn(`the migrations wait for the database: ${reason}`), lastingMs)
  }
  for (;;) {
    try {
      const url = await waitForDatabase(config.databaseUrl, sayLater).finally(() => clearTimeout(timer))
      for (const name of await migrate(url)) log.info(`applied migration ${name}`)
      return never
    } catch (error) {
      if (!isPassing(error)) {
        log.fatal(error, "can't apply the migrations; MIGRATE=off starts without them")
        return true
      }
      log.warn(error, "the migrations can't be applied at the moment")
      await sleep(1_000)
    }
  }
}

async function runWorker(config: Config, log: Logger) {
  const stopped = onStop()
  const crashed = Promise.withResolvers<void>()
  let failed = false
  onCrash(log, () => {
    failed = true
    setTimeout(() => process.exit(1), crashedWorkerMs)
    crashed.resolve()
  })
  const { serve, urlOf } = await import('./server.ts')
  const server = await serve(config, log, { listens: false })
  const connections = takeConnections(server.take)
  connections.listening.then((where) => log.info({ url: urlOf(where) }, 'listening'))
  stopped.then(() => connections.leave())
  crashed.promise.then(() => connections.leave({ atOnce: true }))
  await Promise.race([connections.stopped, crashed.promise.then(() => sleep(deafMs))])
  await server.stop()
  process.exit(failed ? 1 : 0)
}

/** Has an error that nobody caught, or a rejection that nobody handled, logged as fatal instead of printed with all that is on it. */
function onCrash(log: Logger, end: () => void) {
  process.on('uncaughtException', (error, origin) => {
    log.fatal({ err: error, origin }, 'nobody caught this error')
    end()
  })
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
