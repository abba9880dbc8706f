import { execFile } from 'node:child_process'
import { mkdtemp, open, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { migrate, rollBack } from '../src/migrate.ts'
import { describeTarget, findPrograms, fitting, target } from '../src/postgres_programs.ts'
import { runScript } from '../src/scripts.ts'
import { takeName } from '../src/take_name.ts'
import { catalog } from './catalog.ts'
import { createDatabase, testDatabase } from './database.ts'
import { run } from './postgres.ts'
import { type Program, startProgram } from './process.ts'

const { url } = await testDatabase()
const [row] = await run(url, `select current_setting('server_version_num')::int / 10000 as version`)
const server = Number(row?.version)
const found = await findPrograms()
const without = found.some(({ version }) => version >= server)
  ? undefined
  : `there is no pg_dump of version ${server} or newer (only ${found.map(({ version }) => version).join(', ') || 'none'})`
if (without) console.info(`Skipped, because ${without}: backing up and restoring.`)

const folder = await mkdtemp(join(tmpdir(), 'lab-inventory-backup-'))
afterAll(() => rm(folder, { recursive: true }))
const whole = join(folder, 'whole.dump')

const backUp = (databaseUrl: string, ...args: string[]) => command('backup', databaseUrl, args)
const restore = (databaseUrl: string, ...args: string[]) => command('restore', databaseUrl, args)

function command(name: string, databaseUrl: string, args: string[]) {
  return startProgram(process.execPath, [`src/${name}.ts`, ...args], { env: { DATABASE_URL: databaseUrl } })
}

async function outcome(program: Program): Promise<{ code: number | null; said: string }> {
  const { code } = await program.ended()
  return { code, said: program.lines.join('\n') }
}

/** The rows of all tables, and where all sequences are. */
async function all(databaseUrl: string) {
  const tables = ['site', 'freezer', 'computer', 'container', 'pgmigrations']
  const sequences = await run(
    databaseUrl,
    `select oid::regclass::text as name from pg_class where relkind = 'S' and relnamespace = 'public'::regnamespace order by 1`,
  )
  expect(sequences).toHaveLength(5)
  const read = tables.map(
    (name) => `select '${name}' as name, json_agg(${name} order by id)::text as stored from ${name}`,
  )
  const where = sequences.map(
    ({ name }) => `select '${name}', json_build_array(last_value, is_called)::text from ${name}`,
  )
  return await run(databaseUrl, [...read, ...where].join(' union all '))
}

const empty = (name: string) => createDatabase(`${inject('template')}_${name}`, 'template0')

const tellsAll = (databaseUrl: string) => expect(Promise.all([all(databaseUrl), run(databaseUrl, catalog)]))

beforeAll(async () => {
  if (without) return
  await runScript(url, 'mock_data')
  const text = `E'\\u00e9\\u4f60 "q" \\\\. \\t\\n\\r '' $$ \\\\N'`
  await run(
    url,
    `
    insert into site (id, name, contact) values (2147483647, ${text}, '');
    insert into site (name) select 'Deleted' from generate_series(1, 10);
    delete from site where name = 'Deleted';
    insert into container (description, freezer_id)
    select 'Plasmid prep ' || id || repeat(md5(id::text), 10), 1 from generate_series(1, 5000) as id;
    create view reagent as select description from container;`,
  )
  expect(await outcome(backUp(url, whole))).toMatchObject({ code: 0 })
})

describe.skipIf(without)('a backup', () => {
  test('restored into an empty database has the same tables, rows and sequences', async () => {
    const copy = await empty('copy')
    const { code, said } = await outcome(restore(copy, whole))
    expect(said).toMatch(/Restored .*whole\.dump into .*_copy on .* in .* s\. Its last migration is 0/)
    expect(code).toBe(0)
    await tellsAll(copy).resolves.toEqual(await Promise.all([all(url), run(url, catalog)]))
  })

  test('restored, is searched by its indexes, and a new row gets the next id', async () => {
    const copy = await empty('searched')
    expect(await outcome(restore(copy, whole))).toMatchObject({ code: 0 })
    const database = new URL(copy).pathname.slice(1)
    await run(copy, `alter role current_user in database ${database} set enable_seqscan = off`)
    const query = `select id from container where search_text(description) like '%plasmid prep 77%'`
    expect(JSON.stringify(await run(copy, `explain ${query}`))).toContain('container_description_search_idx')
    const program = startProgram(process.execPath, ['src/main.ts'], { env: { DATABASE_URL: copy, PORT: '0' } })
    const { url: address } = JSON.parse(await program.line(/"msg":"listening"/))
    const answer = await fetch(`${address}/search?q=plasmid+4999`)
    expect(await answer.json()).toMatchObject({ results: [{ type: 'container', id: 4999 }] })
    const made = await fetch(`${address}/site`, { method: 'POST', body: new URLSearchParams({ name: 'New' }) })
    const [{ last_value } = {}] = await run(url, 'select last_value from site_id_seq')
    expect(await made.json()).toMatchObject({ id: Number(last_value) + 1 })
  })

  test('is readable by its owner alone, and is never overwritten', async () => {
    expect((await stat(whole)).mode & 0o777).toBe(0o600)
    const before = await readFile(whole)
    const { code, said } = await outcome(backUp(url, whole))
    expect([code, said]).toEqual([1, `There is a file ${whole} already. It stays as it is.`])
    expect((await readFile(whole)).equals(before)).toBe(true)
    expect(await readdir(folder)).toEqual(['whole.dump'])
  })

  test('goes to standard output, whole', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, ['src/backup.ts', '-'], {
      env: { ...process.env, DATABASE_URL: url },
      encoding: 'buffer',
      maxBuffer: 1e8,
    })
    const file = join(folder, 'stdout.dump')
    await writeFile(file, stdout)
    const copy = await empty('stdout')
    expect(await outcome(restore(copy, file))).toMatchObject({ code: 0 })
    expect(await all(copy)).toEqual(await all(url))
    await rm(file)
  })

  test('of a database that has none of the tables is refused, and leaves no file', async () => {
    const { code, said } = await outcome(backUp(await empty('none'), join(folder, 'none.dump')))
    expect([code, said]).toEqual([1, expect.stringContaining('has none of the tables of this project')])
    expect(await readdir(folder)).toEqual(['whole.dump'])
  })

  test('shows no password to other users of the machine, and leaves nothing behind when it is ended', async ({
    skip,
  }) => {
    skip(process.platform === 'win32', 'there is no ps')
    const lock = new pg.Client(url)
    await lock.connect()
    await lock.query('begin; lock table site in access exclusive mode')
    const secret = Object.assign(new URL(url), { password: 'planted-canary' }).href
    const program = backUp(secret, join(folder, 'ended.dump'))
    const waiting = `select from pg_stat_activity where wait_event = 'relation' and application_name = 'pg_dump'`
    try {
      await expect.poll(() => run(url, waiting), { timeout: 10_000 }).toHaveLength(1)
      const { stdout } = await promisify(execFile)('ps', ['-eo', 'pgid,args'])
      const commands = stdout.split('\n').filter((line) => Number.parseInt(line, 10) === program.pid)
      expect(commands.some((line) => line.includes('pg_dump'))).toBe(true)
      expect(commands.join('\n')).not.toContain('planted-canary')
      program.kill('SIGTERM')
      expect(await program.ended()).toEqual({ code: 1, signal: null })
    } finally {
      await lock.end()
    }
    expect(await readdir(folder)).toEqual(['whole.dump'])
  })
})

describe.skipIf(without)('a restore', () => {
  test('into a database that is not empty is refused, and says what is there', async () => {
    const other = await createDatabase(`${inject('template')}_other`, inject('template'))
    await run(other, `insert into site (name) values ('Stays')`)
    const before = await all(other)
    const { code, said } = await outcome(restore(other, whole))
    expect(code).toBe(1)
    expect(said).toMatch(/is not empty: it has function search_text\(text\), table computer, .* With --clean/)
    expect(said).toContain('Nothing has been changed in ')
    expect(await all(other)).toEqual(before)
  })

  test('with --clean replaces all that is there, also what the backup knows nothing of', async () => {
    const other = await createDatabase(`${inject('template')}_clean`, inject('template'))
    await run(
      other,
      `
      insert into site (name) values ('Goes');
      create type colour as enum ('red');
      create function dye(colour) returns colour language sql as 'select $1';
      create table dyed (site_id int references site, colour colour);
      create schema "Odd one" create table t (x int) create view v as select x from t;
      create view names as select name from site;`,
    )
    expect(await outcome(restore(other, whole, '--clean'))).toMatchObject({ code: 0 })
    await tellsAll(other).resolves.toEqual(await Promise.all([all(url), run(url, catalog)]))
    expect(await run(other, `select from pg_namespace where nspname = 'Odd one'`)).toEqual([])
  })

  test.each([
    ['cut off', (file: string, size: number) => truncate(file, size - 1_000)],
    [
      'damaged',
      async (file: string, size: number) => {
        const handle = await open(file, 'r+')
        // In the rows, which are compressed, and not in the list of what is there, which comes first.
        await handle.write(Buffer.alloc(200, 0x5a), 0, 200, Math.floor(size * 0.8))
        await handle.close()
      },
    ],
  ] as const)('of a file that is %s changes nothing, with --clean either', async (what, harm) => {
    const file = join(folder, `${what}.dump`)
    await writeFile(file, await readFile(whole))
    await harm(file, (await stat(file)).size)
    const other = await createDatabase(`${inject('template')}_${what.replace(' ', '_')}`, inject('template'))
    await run(other, `insert into site (name) values ('Stays')`)
    const before = await all(other)
    const { code, said } = await outcome(restore(other, file, '--clean'))
    expect(code).toBe(1)
    expect(said).toContain('Nothing has been changed in ')
    expect(await all(other)).toEqual(before)
    await rm(file)
  })

  test('that Postgres refuses midway changes nothing, and says why', async () => {
    const other = await createDatabase(`${inject('template')}_refused`, inject('template'))
    // A name that the backup brings too, of a kind that is not looked for.
    await run(
      other,
      `alter table container rename to box; create text search configuration public.simple2 (copy = simple)`,
    )
    const odd = join(folder, 'odd.dump')
    const source = await createDatabase(`${inject('template')}_odd`, inject('template'))
    await run(source, 'create text search configuration public.simple2 (copy = simple)')
    expect(await outcome(backUp(source, odd))).toMatchObject({ code: 0 })
    const { code, said } = await outcome(restore(other, odd, '--clean'))
    expect(code).toBe(1)
    expect(said).toMatch(/ERROR: .*\n.*simple2.*already exists/)
    expect(said).toContain('Nothing has been changed in ')
    expect(await run(other, 'select * from box')).toEqual([])
    await rm(odd)
  })

  test('of a backup from an older release is migrated after that', async () => {
    const old = await createDatabase(`${inject('template')}_old`, inject('template'))
    await run(old, `insert into site (name) values ('Zürich')`)
    const schema = await run(old, catalog)
    const undone = [await rollBack(old), await rollBack(old)]
    const file = join(folder, 'old.dump')
    expect(await outcome(backUp(old, file))).toMatchObject({ code: 0 })
    const copy = await empty('upgraded')
    expect((await outcome(restore(copy, file))).said).toContain('Its last migration is 0001_create_tables.')
    expect(await migrate(copy)).toEqual(undone.toReversed())
    expect(await run(copy, catalog)).toEqual(schema)
    expect(await run(copy, `select name from site where search_text(name) like '%zurich%'`)).toEqual([
      { name: 'Zürich' },
    ])
    await rm(file)
  })

  test('of a file that is no backup, or is not there, says so', async () => {
    const other = await empty('nothing')
    const { said } = await outcome(restore(other, 'package.json'))
    expect(said).toMatch(/^package\.json can't be read: pg_restore: error: input file/)
    expect((await outcome(restore(other, join(folder, 'none')))).said).toMatch(
      /^There is no file .*none that can be read\./,
    )
  })
})

describe('backup and restore', () => {
  test.each(['EPERM', 'ENOTSUP', 'EOPNOTSUPP'])(
    'where there are no hard links (%s), a backup gets its name all the same, and takes no other file its place',
    async (code) => {
      const [partial, file] = [join(folder, 'new.partial-1'), join(folder, `${code}.dump`)]
      const linked = () => Promise.reject(Object.assign(new Error('no hard links'), { code }))
      await writeFile(partial, 'first')
      await takeName(partial, file, linked)
      expect(await readFile(file, 'utf8')).toBe('first')
      await expect(readFile(partial)).rejects.toThrow('ENOENT')
      await writeFile(partial, 'second')
      await expect(takeName(partial, file, linked)).rejects.toThrow('by now. It stays as it is.')
      expect(await readFile(file, 'utf8')).toBe('first')
      await rm(partial)
      await rm(file)
    },
  )

  test.each(['backup', 'restore'])('%s --help says how, and needs no database', async (name) => {
    const { code, said } = await outcome(command(name, '', ['--help']))
    expect([code, said]).toEqual([0, expect.stringMatching(`^Usage: npm run ${name} -- `)])
  })

  test.each([
    ['backup', ['a', 'b']],
    ['backup', ['--clean']],
    ['restore', []],
    ['restore', ['a', '--drop']],
  ])('%s %j is refused with the usage', async (name, args) => {
    const { code, said } = await outcome(command(name, url, args))
    expect([code, said]).toEqual([1, expect.stringContaining(`Usage: npm run ${name} -- `)])
  })

  test('programs that are too old are told apart, and what to install is said', () => {
    const found = [
      { folder: '/a', version: 15 },
      { folder: '/b', version: 17 },
    ]
    expect(fitting(found, 16)).toEqual([{ folder: '/b', version: 17 }])
    expect(() => fitting(found, 18)).toThrow(
      /of version 18 or newer, and there are only of 15, 17\. .*postgresql-client-18/,
    )
    expect(() => fitting([], undefined)).toThrow(/there are none here\. .*postgresql-client-N/)
  })

  test.each([
    [
      'postgresql://ada:p%40ss%3A%2F@h:5432/db?sslmode=require',
      'postgresql://ada@h:5432/db?sslmode=require',
      'p@ss:/',
      'db on h:5432',
    ],
    ['postgresql://ada:secret@h1:1,h2:2/db', 'postgresql://ada@h1:1,h2:2/db', 'secret', 'db on h1:1,h2:2'],
    ['postgres://ada@h/db', 'postgres://ada@h/db', undefined, 'db on h'],
    ['postgresql://h:5432/a%20b', 'postgresql://h:5432/a%20b', undefined, 'a b on h:5432'],
    ['postgresql://ada:secret@[::1]:5432/db', 'postgresql://ada@[::1]:5432/db', 'secret', 'db on [::1]:5432'],
    ['postgresql://h/db?user=ada&password=p%40ss', 'postgresql://h/db?user=ada', 'p@ss', 'db on h'],
    ['postgresql://ada:old@h/db?pass%77ord=new', 'postgresql://ada@h/db', 'new', 'db on h'],
    ['postgresql://h/db?password=a:b@c&sslmode=require', 'postgresql://h/db?sslmode=require', 'a:b@c', 'db on h'],
  ])('of %s the password goes into the environment', (databaseUrl, shown, password, name) => {
    expect(target(databaseUrl)).toEqual({ url: shown, env: password ? { PGPASSWORD: password } : {} })
    expect(describeTarget(databaseUrl)).toBe(name)
  })
})
