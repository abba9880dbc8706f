import { readdir } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { runner } from 'node-pg-migrate'
import pg from 'pg'
import { openClient } from './client.ts'
import { describe } from './database/circuit.ts'
import { hostsOf } from './database/hosts.ts'

const directory = fileURLToPath(new URL('../postgres_scripts/migrations', import.meta.url))

/**
 * Applies the migrations that the database has not had, and returns their names. Several processes may do this at once:
 * one does the work under an advisory lock, the others wait for it and find nothing left to do.
 */
export async function migrate(databaseUrl: string): Promise<string[]> {
  return await run(databaseUrl, 'up')
}

/**
 * Undoes the migration that was applied last, and returns its name. Throws when that is the first one, which would drop all tables,
 * or one that this checkout hasn't got.
 */
export async function rollBack(databaseUrl: string): Promise<string> {
  const [name] = await run(databaseUrl, 'down')
  return name as string
}

async function run(databaseUrl: string, direction: 'up' | 'down'): Promise<string[]> {
  // Not a connection of the library's own: it does not wait until that is closed, and if the server goes first, the error
  // is thrown outside of every promise.
  const client = await openClient(databaseUrl, {
    application_name: 'lab-inventory migrate',
    // Migrations are ordered by the time they were applied at, so that has to mean the same in every session. And the role may have
    // timeouts that are meant for the server: an index that takes longer would be begun again and again.
    options: '-c timezone=UTC -c statement_timeout=0 -c lock_timeout=0',
  })
  try {
    if (direction === 'down') await mayRollBack(client)
    const applied = await runner({
      dbClient: client,
      dir: directory,
      direction,
      migrationsTable: 'pgmigrations',
      migrationLoaderStrategies: [{ extensions: ['.sql'], loader: 'sql' }],
      advisoryLockMode: 'wait',
      log: () => {},
    })
    return applied.map(({ name }) => name)
  } finally {
    await client.end()
  }
}

async function mayRollBack(client: pg.Client) {
  const { rows } = await client.query('select name from pgmigrations order by run_on, id')
  const names = await migrationNames()
  const last = rows.at(-1)?.name
  if (!last || last === names[0])
    throw new Error(`There is no migration after ${names[0]}, and that is not rolled back.`)
  if (!names.includes(last))
    throw new Error(`${last} is of another release: roll it back with that, which has its file.`)
}

/**
 * Whether what made a migration fail goes away by itself: not a statement that Postgres refuses, unless because it is read-only,
 * had a lock taken from it, or is short of something (classes 25, 40, 53, 55 and 57 of the SQLSTATEs; Postgres manual, appendix A).
 */
export function isPassing(error: unknown): boolean {
  if (!(error instanceof pg.DatabaseError)) return isLost(error as NodeJS.ErrnoException)
  return error.severity !== 'ERROR' || /^(25|40|53|55|57)...$/.test(error.code ?? '')
}

// Node's codes are those of errno(3) and getaddrinfo(3); pg's own errors have none.
function isLost({ code = '', message }: NodeJS.ErrnoException) {
  return (
    /^(ECONN|EPIPE|ETIMEDOUT|EHOST|ENET|ENOTFOUND|EAI_)/.test(code) || /^Connection terminated|^timeout/.test(message)
  )
}

/** The names of all migrations, in their order. */
export async function migrationNames(): Promise<string[]> {
  const files = await readdir(directory)
  return files
    .filter((file) => file.endsWith('.sql'))
    .map((file) => file.replace(/\.sql$/, ''))
    .sort()
}

/**
 * Returns once the database takes a query, with its URL: if the URL names several hosts, that of the one that is no standby.
 * `onWait` is told why there is none, whenever the reason changes.
 */
export async function waitForDatabase(databaseUrl: string, onWait: (reason: string) => void): Promise<string> {
  const hosts = hostsOf(databaseUrl)
  for (let reason = ''; ; ) {
    try {
      return await Promise.any(hosts.map((url) => knock(url, hosts.length > 1)))
    } catch (error) {
      const now = describe(error)
      if (now !== reason) onWait(now)
      reason = now
    }
    await sleep(250)
  }
}

async function knock(url: string, mustBePrimary: boolean): Promise<string> {
  const client = await openClient(url, { connectionTimeoutMillis: 5_000, query_timeout: 5_000 })
  try {
    const { rows } = await client.query('select pg_is_in_recovery() as standby')
    if (mustBePrimary && rows[0]?.standby) throw new Error('this host is a standby')
    return url
  } finally {
    client.end().catch(() => {})
  }
}
