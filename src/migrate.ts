import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { runner } from 'node-pg-migrate'
import pg from 'pg'

const directory = fileURLToPath(new URL('../postgres_scripts/migrations', import.meta.url))

/**
 * Applies the migrations that the database has not had, and returns their names. Several processes may do this at once:
 * one does the work under an advisory lock, the others wait for it and find nothing left to do.
 */
export async function migrate(databaseUrl: string): Promise<string[]> {
  // Not a connection of the library's own: it does not wait until that is closed, and if the server goes first, the error
  // is thrown outside of every promise.
  const client = new pg.Client({
    connectionString: databaseUrl,
    application_name: 'lab-inventory migrate',
    // Migrations are ordered by the time they were applied at, so that has to mean the same in every session.
    options: '-c timezone=UTC',
  })
  client.on('error', () => {})
  await client.connect()
  try {
    const applied = await runner({
      dbClient: client,
      dir: directory,
      direction: 'up',
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

/** Returns once the database takes a query. `onWait` is told why it doesn't, whenever the reason changes. */
export async function waitForDatabase(databaseUrl: string, onWait: (reason: string) => void): Promise<void> {
  for (let reason = ''; ; ) {
    try {
      return await knock(databaseUrl)
    } catch (error) {
      const now = describe(error)
      if (now !== reason) onWait(now)
      reason = now
    }
    await sleep(250)
  }
}

// The constructor is one of the things that may fail: it reads the certificates that the URL names.
async function knock(databaseUrl: string): Promise<void> {
  const client = new pg.Client({
    connectionString: databaseUrl,
    connectionTimeoutMillis: 5_000,
    query_timeout: 5_000,
  })
  client.on('error', () => {})
  try {
    await client.connect()
    await client.query('select 1')
  } finally {
    client.end().catch(() => {})
  }
}

// A host name with several addresses gives an AggregateError, whose own message is empty.
function describe(error: unknown): string {
  const { message, code, errors } = error as { message?: string; code?: string; errors?: Error[] }
  return message || errors?.map((each) => each.message).join(', ') || code || String(error)
}
