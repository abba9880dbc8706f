import { execFile } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { setImmediate } from 'node:timers/promises'
import { promisify } from 'node:util'
import { runner } from 'node-pg-migrate'
import pg from 'pg'
import { afterAll, expect, inject, test } from 'vitest'
import { migrate } from '../src/migrate.ts'
import { runScript } from '../src/scripts.ts'
import { catalog } from './catalog.ts'
import { testClient } from './client.ts'
import { createDatabase, testDatabase, throughPgBouncer } from './database.ts'
import { run } from './postgres.ts'

const { sql, url: migrated } = await testDatabase()
const scripted = await createDatabase(`${inject('template')}_scripted`, 'template0')
await runScript(scripted, 'create_tables')

const migrations = (await readdir('postgres_scripts/migrations')).sort().map((file) => file.replace(/\.sql$/, ''))

test('the migrations from zero and create_tables.sql give the same catalog', async () => {
  const fromMigrations = await run(migrated, catalog)
  expect(fromMigrations.length).toBeGreaterThan(60)
  expect(await run(scripted, catalog)).toEqual(fromMigrations)
})

test('create_tables.sql records all migrations as applied, in their order, so that none is left to run', async () => {
  const recorded = await run(scripted, 'select name from pgmigrations order by run_on, id')
  expect(recorded.map(({ name }) => name)).toEqual(migrations)
  expect(await migrate(scripted)).toEqual([])
})

test('create_tables.sql drops what is there, and may run again and again', async () => {
  const url = await createDatabase(`${inject('template')}_dropped`, 'template0')
  await migrate(url)
  await runScript(url, 'mock_data')
  await runScript(url, 'create_tables')
  await runScript(url, 'create_tables')
  expect(await run(url, 'select * from site')).toEqual([])
  expect(await run(url, catalog)).toEqual(await run(migrated, catalog))
})

test('every migration can be undone', async () => {
  const url = await createDatabase(`${inject('template')}_undone`, 'template0')
  await migrate(url)
  await runner({
    databaseUrl: url,
    dir: 'postgres_scripts/migrations',
    migrationsTable: 'pgmigrations',
    migrationLoaderStrategies: [{ extensions: ['.sql'], loader: 'sql' }],
    log: () => {},
    direction: 'down',
    count: 1_000,
  })
  expect(
    await run(url, "select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace"),
  ).toEqual([{ relname: 'pgmigrations' }])
  await migrate(url)
  expect(await run(url, catalog)).toEqual(await run(migrated, catalog))
})

test('several instances may migrate at once', async () => {
  const url = await createDatabase(`${inject('template')}_at_once`, 'template0')
  const applied = await Promise.all(Array.from({ length: 5 }, () => migrate(url)))
  expect(applied.flat()).toEqual(migrations)
})

test('a role without rights is told what an admin must run once, and after that needs no more rights', async ({
  skip,
}) => {
  const role = `${inject('template')}_guest`
  const mayCreate = await run(inject('serverUrl'), `create role ${role} login password 'guest'`).catch(() => undefined)
  if (!mayCreate)
    console.info('Skipped, because the tests may create no roles: migrating without the right to create extensions.')
  skip(!mayCreate, 'the tests may create no roles')
  afterAll(() => run(inject('serverUrl'), `drop role ${role}`))
  const url = await createDatabase(`${inject('template')}_guests`, 'template0')
  await run(url, `grant all on schema public to ${role}`)
  const guest = Object.assign(new URL(url), { username: role, password: 'guest' }).href

  const problem = await migrate(guest).catch((error: Error) => error.message)
  expect(problem).toMatch(
    /^Search needs two extensions, and the role \w+_guest can't create them \(.*\)\. An admin must run /,
  )
  expect(problem).toContain(
    `_guests: create extension pg_trgm; create extension unaccent; -- and then: npm run db:migrate`,
  )
  expect(problem).not.toContain('\n')
  await expect(runScript(guest, 'create_tables')).rejects.toThrow(String(problem))
  const command = promisify(execFile)('node_modules/.bin/node', ['src/db.ts', 'migrate'], {
    env: { ...process.env, DATABASE_URL: guest },
  })
  await expect(command).rejects.toMatchObject({ code: 1, stderr: `${problem}\n` })

  await run(url, 'create extension pg_trgm; create extension unaccent')
  expect(await migrate(guest)).toEqual(migrations.slice(1))
  await runScript(guest, 'create_tables')
  expect(await run(url, catalog)).toEqual(await run(migrated, catalog))
})

test('the extensions may be in a schema of their own', async () => {
  const url = await createDatabase(`${inject('template')}_elsewhere`, 'template0')
  await run(
    url,
    'create schema "other one"; create extension pg_trgm schema "other one"; create extension unaccent schema "other one"',
  )
  await migrate(url)
  await runScript(url, 'create_tables')
  expect(await run(url, "select search_text('Łódź')")).toEqual([{ search_text: 'lodz' }])
  expect(await run(url, "select indexname from pg_indexes where indexname like '%_search_idx'")).toHaveLength(5)
})

test('every table and column has a comment', async () => {
  const bare = await run(
    migrated,
    `select attrelid::regclass::text as relation, attname
    from pg_attribute
    join pg_class on pg_class.oid = attrelid
    where relnamespace = 'public'::regnamespace
      and relkind = 'r'
      and not attisdropped
      and attnum >= 0
      and col_description(attrelid, attnum) is null
    union all
    select oid::regclass::text, null
    from pg_class
    where relnamespace = 'public'::regnamespace
      and relkind = 'r'
      and obj_description(oid) is null`,
  )
  expect(bare).toEqual([])
})

test('every foreign key has an index that begins with it', async () => {
  const bare = await run(
    migrated,
    `select conname
    from pg_constraint
    where contype = 'f'
      and not exists (
        select from pg_index
        where indrelid = conrelid
          and (indkey::int2[])[0:cardinality(conkey) - 1] = conkey
      )`,
  )
  expect(bare).toEqual([])
})

test('the mock data is that of the design, and a second load changes nothing', async () => {
  const url = await createDatabase(`${inject('template')}_mock`, inject('template'))
  const expected = {
    site: [
      {
        id: 1,
        name: 'Site 1',
        contact: 'John Smith',
        address: '123 Muffin Lane, Ann Arbor',
        state_or_region: 'MI',
        country: 'USA',
        postcode_or_zip: '48103',
      },
      ...[2, 3].map((id) => ({
        id,
        name: `Site ${id}`,
        contact: null,
        address: null,
        state_or_region: null,
        country: null,
        postcode_or_zip: null,
      })),
    ],
    freezer: [
      { id: 1, name: '-20C', site_id: 1 },
      { id: 2, name: '-40C', site_id: 1 },
    ],
    computer: [
      { id: 1, name: 'Computer 1', mac: null, site_id: 1 },
      { id: 2, name: 'Computer 2', mac: null, site_id: 1 },
    ],
    container: [],
  }
  for (let time = 0; time < 2; time++) {
    await runScript(url, 'mock_data')
    for (const [table, rows] of Object.entries(expected)) {
      expect(await run(url, `select * from ${table} order by id`)).toEqual(rows)
    }
  }
})

test('after the mock data the next ids go on from there', async () => {
  await runScript(migrated, 'mock_data')
  const client = testClient(sql)
  expect((await client.post('/site', { name: 'Site 4' })).json.id).toBe(4)
  expect((await client.post('/freezer', { name: '-80C', site_id: 4 })).json.id).toBe(3)
  await runScript(migrated, 'mock_data')
  expect((await client.post('/site', { name: 'Site 5' })).json.id).toBe(5)
})

test('both scripts may run while the server is used: requests wait, and get an answer that fits', async ({ skip }) => {
  const few = 'PgBouncer has few connections, and those who wait for a lock keep them all'
  if (throughPgBouncer) console.info(`Skipped, because ${few}: scripts that run while the server is used.`)
  skip(throughPgBouncer, few)
  const client = testClient(sql)
  await runScript(migrated, 'create_tables')
  const statuses = new Set<number>()
  let running = true
  const users = Array.from({ length: 8 }, async (_, user) => {
    while (running) {
      // Answers that come at once give nobody else a turn.
      await setImmediate()
      const answers = [
        await client.post('/site/1', { name: 'Site 1' }),
        await client.post('/freezer', { name: '-20C', site_id: 1 }),
        await client.post(`/container/${user + 1}`, { freezer_id: 1 }),
        await client.delete('/freezer/1'),
        await client.get('/instruments'),
        await client.get('/search?q=site'),
      ]
      for (const { status } of answers) statuses.add(status)
    }
  })
  for (let time = 0; time < 10; time++) {
    await runScript(migrated, 'create_tables')
    await runScript(migrated, 'mock_data')
  }
  running = false
  await Promise.all(users)
  expect(client.lines.filter(({ err }) => err)).toEqual([])
  expect([...statuses].filter((status) => ![200, 201, 404, 409].includes(status))).toEqual([])
})

test('a reader that takes its time holds create_tables.sql up, and is not harmed by it', async () => {
  const url = await createDatabase(`${inject('template')}_held`, inject('template'))
  await runScript(url, 'mock_data')
  const reader = new pg.Client(url)
  await reader.connect()
  await reader.query('begin; select from site')
  const script = runScript(url, 'create_tables')
  await expect
    .poll(() =>
      run(
        url,
        "select from pg_stat_activity where wait_event_type = 'Lock' and application_name like '%create_tables'",
      ),
    )
    .toHaveLength(1)
  // By now the script has the other tables: if it kept them while it waits, this would be a deadlock.
  expect((await reader.query('select from container')).rowCount).toBe(0)
  expect((await reader.query('select from site')).rowCount).toBe(3)
  await reader.query('commit')
  await script
  expect((await reader.query('select from site')).rowCount).toBe(0)
  await reader.end()
})

test('psql runs both scripts without a word of error', async ({ skip }) => {
  const psql = promisify(execFile)
  const version = await psql('psql', ['--version']).catch(() => undefined)
  if (!version) console.info('Skipped, because psql is not installed: psql runs both scripts.')
  skip(!version, 'psql is not installed')
  for (const script of ['create_tables', 'mock_data']) {
    const { stderr } = await psql('psql', ['-v', 'ON_ERROR_STOP=1', '-f', `postgres_scripts/${script}.sql`, scripted])
    expect(stderr).toBe('')
  }
  expect(await run(scripted, 'select count(*)::int from site')).toEqual([{ count: 3 }])
})
