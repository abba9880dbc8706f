import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { expect, inject, test } from 'vitest'
import { migrate, rollBack } from '../src/migrate.ts'
import { catalog } from './catalog.ts'
import { createDatabase } from './database.ts'
import { run } from './postgres.ts'
import { startProgram } from './process.ts'

const [first, ...others] = (await readdir('postgres_scripts/migrations'))
  .sort()
  .map((file) => file.replace(/\.sql$/, ''))
const url = await createDatabase(`${inject('template')}_back`, inject('template'))
const rows =
  'select (select json_agg(site) from site) as sites, (select json_agg(container) from container) as containers'

test('migrations go back one by one, and forth again, to the same schema and the same rows', async () => {
  await run(url, `insert into site (name, country) values ('Zürich', 'CH')`)
  await run(url, `insert into freezer (name, site_id) values ('-80C', 1)`)
  await run(url, `insert into container (description, freezer_id) values ('Plasmid prep', 1)`)
  const [before, stored] = [await run(url, catalog), await run(url, rows)]
  const undone: string[] = []
  while (undone.length < others.length) undone.push(await rollBack(url))
  expect(undone).toEqual(others.toReversed())
  expect((await run(url, 'select name from pgmigrations')).map(({ name }) => name)).toEqual([first])
  expect(await run(url, catalog)).not.toEqual(before)
  expect(await run(url, rows)).toEqual(stored)
  expect(await migrate(url)).toEqual(others)
  expect(await run(url, catalog)).toEqual(before)
  expect(await run(url, rows)).toEqual(stored)
})

test('the first migration is not rolled back, because that would drop all tables', async () => {
  const fresh = await createDatabase(`${inject('template')}_first`, inject('template'))
  for (const _ of others) await rollBack(fresh)
  await expect(rollBack(fresh)).rejects.toThrow(`There is no migration after ${first}`)
  expect(await run(fresh, 'select * from site')).toEqual([])
})

test('one of another release is left to that release', async () => {
  const newer = await createDatabase(`${inject('template')}_newer`, inject('template'))
  await run(newer, `insert into pgmigrations (name, run_on) values ('9999_newer', now() + interval '1 s')`)
  await expect(rollBack(newer)).rejects.toThrow('9999_newer is of another release')
  expect(await run(newer, `select name from pgmigrations where name = '9999_newer'`)).toHaveLength(1)
})

test('npm run db:rollback says what it has undone, and in which database', async () => {
  const cli = await createDatabase(`${inject('template')}_cli`, inject('template'))
  const program = startProgram(process.execPath, ['src/db.ts', 'rollback'], { env: { DATABASE_URL: cli } })
  expect(await program.ended()).toEqual({ code: 0, signal: null })
  expect(program.lines).toEqual([
    `Rolled back in ${new URL(cli).pathname.slice(1)} on ${new URL(cli).host}: ${others.at(-1)}.`,
  ])
})

test('indexes that an admin makes beforehand, as docs/operations.md says, are those of the migrations', async ({
  skip,
}) => {
  const isThere = await promisify(execFile)('psql', ['--version']).catch(() => undefined)
  if (!isThere) console.info('Skipped, because psql is not installed: making indexes beforehand.')
  skip(!isThere, 'psql is not installed')
  const script =
    /^```sh\n(for name in 0002_search .*?)^```/ms.exec(await readFile('docs/operations.md', 'utf8'))?.[1] ?? ''
  const beforehand = await createDatabase(`${inject('template')}_beforehand`, inject('template'))
  const schema = await run(beforehand, catalog)
  while ((await rollBack(beforehand)) !== '0002_search');
  const here = script
    .replaceAll('> $name.sql', '> "$folder/$name.sql"')
    .replaceAll('-f $name.sql', '-f "$folder/$name.sql"')
  const env = { ...process.env, DATABASE_URL: beforehand }
  await promisify(execFile)('bash', ['-c', `set -e; folder=$(mktemp -d); trap 'rm -r "$folder"' EXIT; ${here}`], {
    env,
  })
  expect(await migrate(beforehand)).toEqual(others.slice(2))
  expect(await run(beforehand, catalog)).toEqual(schema)
})
