import { readFile } from 'node:fs/promises'
import { availableParallelism, cpus, loadavg, release, totalmem, type } from 'node:os'
import { query } from './data.ts'

/** Postgres' settings that are not its defaults: memory for this much data, and no checkpoint in a measurement's midst. */
export const postgresSettings = { shared_buffers: '512MB', max_wal_size: '8GB', checkpoint_timeout: '1h' }

/** How many programs were waiting for a core in the last minute: what else runs here takes from all that is measured. */
export const loadBefore = loadavg()[0] ?? 0

/** What the figures depend on. */
export async function describeMachine(databaseUrl: string): Promise<{ [what: string]: string }> {
  const [row] = await query(databaseUrl, "select current_setting('server_version') as version")
  const [fsync] = await query(databaseUrl, "select current_setting('fsync') as fsync")
  const { dependencies } = JSON.parse(await readFile(new URL('package.json', import.meta.url), 'utf8'))
  const settings = Object.entries(postgresSettings).map(([name, value]) => `${name} ${value}`)
  return {
    date: new Date().toISOString().slice(0, 10),
    system: `${type()} ${release()}`,
    cpu: `${availableParallelism()} cores, ${cpus()[0]?.model ?? 'unknown'}`,
    'load before': loadBefore.toFixed(2),
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    node: process.version,
    postgres: `${row?.version}, fsync ${fsync?.fsync}, ${settings.join(', ')}, else defaults`,
    packages: Object.entries(dependencies)
      .map(([name, version]) => `${name} ${version}`)
      .join(', '),
  }
}
