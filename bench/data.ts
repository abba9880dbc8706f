import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { migrate } from '../src/migrate.ts'

/** How many rows of each there are. */
export type Scale = { sites: number; freezers: number; computers: number; containers: number }

/** As many instruments as containers, a twentieth of them freezers. */
export function scaleOf(containers: number): Scale {
  const freezers = Math.max(1, Math.round(containers / 20))
  return { sites: 10_000, freezers, computers: containers - freezers, containers }
}

/** What the large tables are compared with, to see that an answer's cost doesn't grow with them: 1,000 instruments. */
export const smallScale: Scale = { sites: 100, freezers: 50, computers: 950, containers: 10_000 }

/** What `md5('container ' || id)::uuid` is in data.sql. */
export function uuidOf(id: number): string {
  const digits = createHash('md5').update(`container ${id}`).digest('hex')
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}

/** A database with these rows, on this Postgres; the one of the run before, if that had as many. Returns its URL. */
export async function fill(serverUrl: string, scale: Scale, tell: (text: string) => void): Promise<string> {
  const script = await readFile(new URL('data.sql', import.meta.url), 'utf8')
  const database = `bench_${scale.containers}_${scale.sites}`
  const mark = createHash('sha256').update(JSON.stringify(scale)).update(script).digest('hex')
  const url = Object.assign(new URL(serverUrl), { pathname: `/${database}` }).href

  if ((await query(serverUrl, findMark, [database]))[0]?.mark === mark) {
    await migrate(url)
    await empty(url, scale)
    return url
  }
  tell(`Making ${scale.containers} containers …`)
  await query(serverUrl, `drop database if exists ${database} with (force)`)
  await query(serverUrl, `create database ${database}`)
  await migrate(url)
  const client = new pg.Client(url)
  client.on('error', () => {})
  await client.connect()
  for (const [name, count] of Object.entries(scale)) {
    await client.query('select set_config($1, $2, false)', [`bench.${name}`, String(count)])
  }
  // Indexes are made in a fraction of the time when the rows are there.
  const { rows: indexes } = await client.query(findIndexes)
  for (const { name } of indexes) await client.query(`drop index ${name}`)
  await client.query(script)
  await client.query("set maintenance_work_mem = '512MB'")
  for (const { name, definition } of indexes) {
    tell(`Making the index ${name} …`)
    await client.query(definition)
  }
  await client.query('vacuum (analyze)')
  await client.query('checkpoint')
  await client.query(`comment on database ${database} is '${mark}'`)
  await client.end()
  return url
}

/** Removes the rows that the measurements have added. */
export async function empty(url: string, scale: Scale): Promise<void> {
  const { rowCount } = await run(url, 'delete from container where id > $1', [scale.containers])
  if (rowCount) await query(url, 'vacuum (analyze) container')
}

/** Waits until Postgres answers nobody: a server may have work left after its clients have gone. Throws after 30 s. */
export async function settle(url: string): Promise<void> {
  const deadline = performance.now() + 30_000
  for (let quiet = 0; quiet < 3; ) {
    const [row] = await query(url, countActive)
    quiet = row?.count === 0 ? quiet + 1 : 0
    if (performance.now() > deadline)
      throw new Error(`Postgres is busy with ${row?.count} queries that nobody waits for.`)
    await sleep(30)
  }
}

export async function query(
  url: string,
  statement: string,
  values: unknown[] = [],
): Promise<Record<string, unknown>[]> {
  return (await run(url, statement, values)).rows
}

async function run(url: string, statement: string, values: unknown[] = []) {
  const client = new pg.Client(url)
  client.on('error', () => {})
  await client.connect()
  try {
    return await client.query(statement, values)
  } finally {
    await client.end()
  }
}

const findMark = `
  select shobj_description(oid, 'pg_database') as mark
  from pg_database
  where datname = $1`

// Those that are not of a constraint.
const findIndexes = `
  select indexrelid::regclass::text as name, pg_get_indexdef(indexrelid) as definition
  from pg_index
  join pg_class on pg_class.oid = indexrelid
  where relnamespace = 'public'::regnamespace
    and not exists (select from pg_constraint where conindid = indexrelid)`

const countActive = `
  select count(*)::int as count
  from pg_stat_activity
  where backend_type = 'client backend'
    and state <> 'idle'
    and pid <> pg_backend_pid()`
